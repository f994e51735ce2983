//! Lets the readers of a process go on: batches, saves, and coming to an end.

use std::time::Duration;

use penstock_engine::ids::ShardId;
use penstock_engine::lease::Input;
use penstock_engine::time::Mono;

use super::oracles;
use super::world::{Event, FleetWorld, Request, Save};
use crate::oracles::Verdict;

/// How long a reader waits after a save that failed.
const SAVE_AGAIN: Duration = Duration::from_millis(300);

impl FleetWorld {
    pub(super) fn saved(&mut self, member: usize, save: &Save, answer: Option<bool>) -> Verdict {
        let clock = self.members[member].clock(self.now);
        if let Some(reader) = self.reader(member, &save.shard, save.fence) {
            match answer {
                Some(true) => {
                    reader.saving = false;
                    reader.saved = save.records;
                    reader.saved_end = save.end;
                }
                Some(false) => {
                    let (shard, fence) = (save.shard.clone(), save.fence);
                    let input = Input::Fenced { shard, fence };
                    self.members[member].machine.handle_input(input, clock);
                }
                None => {
                    let event = Event::SaveAgain(member, save.shard.clone(), save.fence);
                    self.at(self.now + SAVE_AGAIN, event);
                }
            }
        }
        self.settle(member)
    }

    /// Lets the readers of a process go on.
    pub(super) fn read(&mut self, member: usize) -> Verdict {
        let clock = self.members[member].clock(self.now);
        let shards: Vec<ShardId> = self.members[member].readers.keys().cloned().collect();
        for shard in shards {
            self.start_batch(member, &shard, clock)?;
            let truth = self.truth.of(&shard);
            let (closed, records) = (truth.closed, truth.settled.len());
            let Some(reader) = self.members[member].readers.get_mut(&shard) else {
                continue;
            };
            let end = closed && reader.done == records;
            let behind = reader.done > reader.saved || (end && !reader.saved_end);
            if behind && !reader.saving {
                reader.saving = true;
                reader.saves += 1;
                let save = Save {
                    shard: shard.clone(),
                    fence: reader.fence,
                    number: reader.saves,
                    records: reader.done,
                    end,
                };
                self.send(member, Request::Save(save));
                continue;
            }
            let over = reader.draining || reader.saved_end;
            if over && reader.rests() && !reader.quiet {
                reader.quiet = true;
                let fence = reader.fence;
                let input = Input::Quiet { shard, fence };
                self.members[member].machine.handle_input(input, clock);
            }
        }
        Ok(())
    }

    fn start_batch(&mut self, member: usize, shard: &ShardId, clock: Mono) -> Verdict {
        let records = self.truth.of(shard).settled.len();
        let process = &mut self.members[member];
        let Some(reader) = process.readers.get_mut(shard) else {
            return Ok(());
        };
        let may = !reader.draining && clock < reader.until && reader.running.is_none();
        if !may || reader.done >= records {
            return Ok(());
        }
        let (from, fence) = (reader.done, reader.fence);
        let to = records.min(from + 3);
        reader.running = Some(to);
        oracles::lease_is_exclusive(self.table.row(shard).as_ref(), &process.owner, fence)?;
        oracles::parents_first(&self.truth, shard)?;
        for record in from..to {
            let truth = self.truth.change(shard);
            let again = truth.settled[record].is_some();
            oracles::moves_repeat_nothing(truth, fence, record)?;
            self.truth.repeats += u64::from(again);
        }
        let (usual, rare) = self.takes_ms;
        let most = if self.random.chance(30) { rare } else { usual };
        let takes = self.random.millis(1, most);
        let event = Event::Finished(member, shard.clone(), fence, from, to);
        self.at(self.now + takes, event);
        Ok(())
    }
}

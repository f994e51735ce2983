//! Rules of every store that several processes share.

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::fault::FaultKind;
use penstock_engine::ids::{Fence, Owner, Position, SequenceNumber, ShardId};
use penstock_engine::io::{Checkpoint, TumblingWindow};
use penstock_engine::lease::{Place, Row, Write};
use penstock_engine::time::Wall;

use super::store::full_checkpoint;
use crate::ports::{Answer, NewRow, Save, SharedStore};

/// Bytes of a window's state that no single item of a table holds.
const LARGE: usize = 900_000;

/// How long room for it may take to be made.
const MADE_WITHIN: Duration = Duration::from_secs(10);

/// A store that is ready and has no rows.
pub trait SharedBench: Send + Sync {
    /// The store, as one more process has it.
    fn store(&self) -> Arc<dyn SharedStore>;
}

fn shard(number: u32) -> ShardId {
    ShardId::new(format!("shardId-{number:012}"))
}

fn first() -> Checkpoint {
    Checkpoint::starting_at(Position::AtTimestamp(Wall(77_001)), Some(Wall(76_000)))
}

fn at(digits: &str, fence: Fence) -> Checkpoint {
    Checkpoint {
        position: Position::after(SequenceNumber::new(digits)),
        fence,
        ..first()
    }
}

fn new_row(number: u32, parents: &[u32]) -> NewRow {
    NewRow {
        shard: shard(number),
        parents: parents.iter().map(|parent| shard(*parent)).collect(),
        checkpoint: first(),
    }
}

async fn registered(bench: &impl SharedBench) -> Arc<dyn SharedStore> {
    let store = bench.store();
    store
        .register(vec![new_row(0, &[])])
        .await
        .expect("registered");
    store
}

async fn row(store: &Arc<dyn SharedStore>) -> Row {
    let row = store.read(shard(0)).await.expect("it reads");
    row.expect("there is one")
}

async fn take(store: &Arc<dyn SharedStore>, name: &str) -> Fence {
    let row = row(store).await;
    match store.write(shard(0), take_of(name, &row)).await {
        Ok(Answer::Written(row)) => row.fence.expect("it was taken"),
        other => panic!("{name} takes a row: {other:?}"),
    }
}

fn take_of(name: &str, row: &Row) -> Write {
    Write::Take {
        owner: Owner::new(name),
        from: row.owner.clone(),
        seen: row.counter,
        counter: row.counter + 1,
    }
}

fn save_of(name: &str, fence: Fence, number: u64, checkpoint: Checkpoint) -> Save {
    Save {
        shard: shard(0),
        owner: Owner::new(name),
        fence,
        number,
        checkpoint,
    }
}

async fn saved(store: &Arc<dyn SharedStore>, save: Save) -> Option<FaultKind> {
    let refused = store.save(save).await.err();
    refused.map(|error| error.fault().kind)
}

/// Saves as often as it takes: room for something large may have to be made first.
async fn saved_at_last(store: &Arc<dyn SharedStore>, save: Save) {
    for again in 0..100 {
        let number = save.number + again;
        match saved(
            store,
            Save {
                number,
                ..save.clone()
            },
        )
        .await
        {
            Some(FaultKind::Transient) => tokio::time::sleep(MADE_WITHIN / 100).await,
            done => return assert_eq!(done, None),
        }
    }
    panic!("it is never saved");
}

async fn loaded(store: &Arc<dyn SharedStore>) -> Option<Checkpoint> {
    store.load(shard(0)).await.expect("it loads")
}

/// A store without a past has nothing, and writes to it are refused.
pub async fn has_no_rows_at_first(bench: impl SharedBench) {
    let store = bench.store();
    assert_eq!(store.scan().await, Ok(Vec::new()));
    assert_eq!(store.read(shard(0)).await, Ok(None));
    assert_eq!(store.load(shard(0)).await, Ok(None));
    let write = take_of("a", &Row::new(shard(0), Place::TrimHorizon, Vec::new()));
    let answer = store.write(shard(0), write).await;
    assert_eq!(answer, Ok(Answer::Refused(None)));
    let save = save_of("a", Fence(1), 1, at("1", Fence(1)));
    assert_eq!(saved(&store, save).await, Some(FaultKind::Fenced));
    assert_eq!(
        store.scan().await,
        Ok(Vec::new()),
        "and nothing came of them"
    );
}

/// Registering leaves rows that are there alone.
pub async fn registers_rows_where_there_are_none(bench: impl SharedBench) {
    let store = registered(&bench).await;
    let fence = take(&store, "a").await;
    let save = save_of("a", fence, 1, at("5", fence));
    assert_eq!(saved(&store, save).await, None);
    let rows = vec![new_row(0, &[]), new_row(1, &[0]), new_row(2, &[0, 1])];
    bench.store().register(rows).await.expect("registered");
    assert_eq!(loaded(&store).await, Some(at("5", fence)));
    assert!(row(&store).await.is_held(&Owner::new("a"), fence));
    let merged = store
        .read(shard(2))
        .await
        .expect("read")
        .expect("registered");
    assert_eq!(merged.parents, [shard(0), shard(1)]);
    assert_eq!(
        (merged.owner, merged.counter, merged.fence),
        (None, 0, None)
    );
    assert_eq!(store.load(shard(2)).await, Ok(Some(first())));
}

/// A look at all rows shows each once, as it is.
pub async fn lists_every_row(bench: impl SharedBench) {
    let store = bench.store();
    let rows = (0..40).map(|number| new_row(number, &[])).collect();
    store.register(rows).await.expect("registered");
    let fence = take(&store, "a").await;
    let mut rows = store.scan().await.expect("it scans");
    rows.sort_by(|a, b| a.shard.cmp(&b.shard));
    let shards: Vec<ShardId> = rows.iter().map(|row| row.shard.clone()).collect();
    assert_eq!(shards, (0..40).map(shard).collect::<Vec<_>>());
    assert_eq!(rows[0], row(&store).await);
    assert!(rows[0].is_held(&Owner::new("a"), fence));
    let mut resume = store.resume().await.expect("it reads").rows;
    resume.sort_by(|a, b| a.0.cmp(&b.0));
    let wanted: Vec<_> = (0..40).map(|number| (shard(number), first())).collect();
    assert_eq!(resume, wanted);
}

/// Of two who take one row as they saw it one gets it, and the other is shown whose it is.
pub async fn gives_a_row_to_one_of_two(bench: impl SharedBench) {
    let (here, there) = (registered(&bench).await, bench.store());
    let seen = row(&here).await;
    let (a, b) = futures_util::future::join(
        here.write(shard(0), take_of("a", &seen)),
        there.write(shard(0), take_of("b", &seen)),
    )
    .await;
    let (won, lost) = match (a.expect("answered"), b.expect("answered")) {
        (Answer::Written(won), Answer::Refused(lost))
        | (Answer::Refused(lost), Answer::Written(won)) => (won, lost),
        other => panic!("one of two: {other:?}"),
    };
    assert_eq!((won.counter, won.fence), (1, Some(Fence(1))));
    assert_eq!(lost, Some(won.clone()));
    assert_eq!(row(&there).await, won);
}

/// Nothing that an earlier holder writes is accepted, though it may have the same name.
pub async fn accepts_nothing_of_an_earlier_lease(bench: impl SharedBench) {
    let store = registered(&bench).await;
    let old = take(&store, "a").await;
    let renew = |fence| Write::Renew {
        owner: Owner::new("a"),
        fence,
    };
    let renewed = store.write(shard(0), renew(old)).await.expect("answered");
    assert!(matches!(&renewed, Answer::Written(row) if row.counter == old.0 + 1));
    take(&store, "b").await;
    let new = take(&store, "a").await;
    assert!(new > old);
    let release = Write::Release {
        owner: Owner::new("a"),
        fence: old,
    };
    let before = row(&store).await;
    for write in [renew(old), release, renew(Fence(new.0 + 1))] {
        let answer = store.write(shard(0), write).await;
        assert_eq!(answer, Ok(Answer::Refused(Some(before.clone()))));
    }
    assert_eq!(row(&store).await, before);
}

/// A row is asked for by one at a time, and given up for that one.
pub async fn hands_over_to_whoever_asked_first(bench: impl SharedBench) {
    let store = registered(&bench).await;
    let fence = take(&store, "a").await;
    let ask = |name: &str| Write::Ask {
        owner: Owner::new(name),
        from: Owner::new("a"),
        fence,
    };
    let asked = store.write(shard(0), ask("b")).await.expect("answered");
    assert!(matches!(asked, Answer::Written(_)));
    let refused = store.write(shard(0), ask("c")).await.expect("answered");
    assert!(matches!(refused, Answer::Refused(Some(_))));
    let release = Write::Release {
        owner: Owner::new("a"),
        fence,
    };
    let released = match store.write(shard(0), release).await {
        Ok(Answer::Written(row)) => row,
        other => panic!("the holder gives it up: {other:?}"),
    };
    assert_eq!(released.owner, None);
    assert_eq!(released.wanted_by, Some(Owner::new("b")));
    assert!(take(&store, "b").await > fence);
    assert_eq!(row(&store).await.wanted_by, None);
}

/// Whoever lost a shard can save nothing any more.
pub async fn saves_under_the_lease_only(bench: impl SharedBench) {
    let store = registered(&bench).await;
    let old = take(&store, "a").await;
    assert_eq!(
        saved(&store, save_of("a", old, 1, at("1", old))).await,
        None
    );
    let new = take(&bench.store(), "b").await;
    let cases = [
        save_of("a", old, 2, at("2", old)),
        save_of("a", new, 2, at("2", new)),
        save_of("b", old, 2, at("2", old)),
        save_of("b", Fence(new.0 + 1), 2, at("2", new)),
    ];
    for save in cases {
        assert_eq!(saved(&store, save).await, Some(FaultKind::Fenced));
    }
    assert_eq!(loaded(&store).await, Some(at("1", old)));
    assert_eq!(
        saved(&store, save_of("b", new, 1, at("3", new))).await,
        None
    );
    assert_eq!(loaded(&store).await, Some(at("3", new)));
    let place = Place::of(&at("3", new).position);
    assert_eq!(row(&store).await.place, place);
}

/// A save that was given up and arrives after a later one changes nothing.
pub async fn refuses_a_save_that_comes_too_late(bench: impl SharedBench) {
    let store = registered(&bench).await;
    let fence = take(&store, "a").await;
    assert_eq!(
        saved(&store, save_of("a", fence, 2, at("10", fence))).await,
        None
    );
    let late = saved(&store, save_of("a", fence, 1, at("9", fence))).await;
    assert_eq!(late, Some(FaultKind::Fenced));
    assert_eq!(loaded(&store).await, Some(at("10", fence)));
    let renew = Write::Renew {
        owner: Owner::new("a"),
        fence,
    };
    let renewed = store.write(shard(0), renew).await.expect("answered");
    assert!(matches!(renewed, Answer::Written(_)), "the lease goes on");
}

/// Nothing of a checkpoint is lost on the way, and the end of a shard is one like others.
pub async fn keeps_every_part_of_a_checkpoint(bench: impl SharedBench) {
    let store = registered(&bench).await;
    let fence = take(&store, "a").await;
    let full = full_checkpoint(fence);
    assert_eq!(
        saved(&store, save_of("a", fence, 1, full.clone())).await,
        None
    );
    assert_eq!(loaded(&store).await, Some(full.clone()));
    let end = Checkpoint {
        position: Position::ShardEnd,
        ..full
    };
    assert_eq!(
        saved(&store, save_of("a", fence, 2, end.clone())).await,
        None
    );
    assert_eq!(loaded(&store).await, Some(end));
    assert!(row(&store).await.ended());
}

/// The state of a window may be larger than an item can be, and small again.
pub async fn keeps_a_large_state_and_lets_go_of_it(bench: impl SharedBench) {
    let store = registered(&bench).await;
    let fence = take(&store, "a").await;
    let large = |digits: &str| Checkpoint {
        window: Some(TumblingWindow {
            start: Wall(60_000),
            end: Wall(120_000),
            state: format!(r#"{{"names":"{}"}}"#, digits.repeat(LARGE)).into(),
            closing: None,
        }),
        ..at(digits, fence)
    };
    let cases = [
        (1_000, large("4")),
        (2_000, large("5")),
        (4_000, at("6", fence)),
    ];
    for (number, checkpoint) in cases {
        saved_at_last(&store, save_of("a", fence, number, checkpoint.clone())).await;
        let other = bench.store();
        assert!(loaded(&other).await == Some(checkpoint.clone()));
        let resume = other.resume().await.expect("it reads");
        assert!(resume.rows == [(shard(0), checkpoint)]);
    }
    let late = save_of("a", fence, 3_000, large("7"));
    assert_eq!(saved(&store, late).await, Some(FaultKind::Fenced));
    assert_eq!(loaded(&store).await, Some(at("6", fence)));
    assert_eq!(store.scan().await.expect("it scans").len(), 1);
}

/// A save that nobody waits for any more leaves the shard as it was or as it is to be.
pub async fn survives_a_dropped_save(bench: impl SharedBench) {
    let store = registered(&bench).await;
    let fence = take(&store, "a").await;
    let full = full_checkpoint(fence);
    let mut dropped = store.save(save_of("a", fence, 1, full.clone()));
    let waker = std::task::Waker::noop();
    let _ = dropped
        .as_mut()
        .poll(&mut std::task::Context::from_waker(waker));
    drop(dropped);
    let found = loaded(&store).await;
    assert!(found == Some(first()) || found == Some(full));
    let last = at(
        "49590338271490256608559692538361571095921575989136588899",
        fence,
    );
    assert_eq!(
        saved(&store, save_of("a", fence, 2, last.clone())).await,
        None
    );
    assert_eq!(loaded(&store).await, Some(last));
}

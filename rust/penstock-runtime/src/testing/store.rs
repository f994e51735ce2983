//! Rules of every checkpoint and lease store.

use std::sync::Arc;

use penstock_engine::fault::FaultKind;
use penstock_engine::ids::{Fence, MappingId, Position, RequestId, SequenceNumber, ShardId};
use penstock_engine::io::{Checkpoint, Closing, FrontUnit, LanePositions, TumblingWindow};
use penstock_engine::time::Wall;

use crate::ports::{CheckpointStore, LeaseStore};

/// An empty store.
pub trait StoreBench: Send + Sync {
    /// The checkpoints.
    fn checkpoints(&self) -> Arc<dyn CheckpointStore>;

    /// The leases of the same shards.
    fn leases(&self) -> Arc<dyn LeaseStore>;
}

fn mapping() -> MappingId {
    MappingId::new("11111111-2222-3333-4444-555555555555")
}

fn shard(number: u32) -> ShardId {
    ShardId::new(format!("shardId-{number:012}"))
}

fn at(digits: &str, fence: Fence) -> Checkpoint {
    let position = Position::after(SequenceNumber::new(digits));
    Checkpoint {
        fence,
        ..Checkpoint::starting_at(position, Some(Wall(77)))
    }
}

fn first() -> Checkpoint {
    Checkpoint::starting_at(Position::TrimHorizon, Some(Wall(77)))
}

/// A checkpoint with all of its parts.
pub(super) fn full_checkpoint(fence: Fence) -> Checkpoint {
    let number = |digits: &str| SequenceNumber::new(digits);
    let long = "49590338271490256608559692538361571095921575989136588898";
    Checkpoint {
        position: Position::After {
            sequence: number(long),
            sub: Some(3),
        },
        lanes: vec![LanePositions {
            count: 2,
            hash_version: 1,
            settled: vec![
                None,
                Some(number("495903382714902566085596925383615710959219")),
            ],
        }],
        fronts: vec![FrontUnit {
            lane: 1,
            first: number(long),
            records: 7,
            attempts: 2,
            request_id: RequestId(u128::MAX - 5),
        }],
        incarnation: Some(Wall(1_545_084_650_000)),
        settled_arrival: Some(Wall(1_545_084_650_123)),
        window: Some(TumblingWindow {
            start: Wall(1_545_084_600_000),
            end: Wall(1_545_084_660_000),
            state: r#"{"sum":"ü\""}"#.into(),
            closing: Some(Closing {
                early: true,
                attempts: 3,
                request_id: RequestId(u128::MAX - 6),
            }),
        }),
        fence,
    }
}

async fn rows(bench: &impl StoreBench, mapping: MappingId) -> Vec<(ShardId, Checkpoint)> {
    let mut rows = bench
        .checkpoints()
        .load(mapping)
        .await
        .expect("it loads")
        .rows;
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows
}

/// A mapping without a past has no rows.
pub async fn knows_nothing_at_first(bench: impl StoreBench) {
    assert_eq!(rows(&bench, mapping()).await, []);
}

/// Registering leaves rows that are there alone.
pub async fn registers_only_what_is_missing(bench: impl StoreBench) {
    let store = bench.checkpoints();
    store
        .register(mapping(), vec![(shard(0), first())])
        .await
        .expect("registered");
    let (fence, _) = bench
        .leases()
        .take(mapping(), shard(0))
        .await
        .expect("taken");
    store
        .save(mapping(), shard(0), at("5", fence), fence)
        .await
        .expect("saved");
    let both = vec![(shard(0), first()), (shard(1), first())];
    store.register(mapping(), both).await.expect("registered");
    let wanted = [(shard(0), at("5", fence)), (shard(1), first())];
    assert_eq!(rows(&bench, mapping()).await, wanted);
}

/// Fences only grow, also after the lease was given up.
pub async fn raises_the_fence_on_every_take(bench: impl StoreBench) {
    let leases = bench.leases();
    let mut last = Fence(0);
    for _ in 0..3 {
        let (fence, _) = leases.take(mapping(), shard(0)).await.expect("taken");
        assert!(fence > last);
        last = fence;
        leases
            .release(mapping(), shard(0), fence)
            .await
            .expect("given up");
    }
}

/// A grant brings the checkpoint along.
pub async fn hands_the_checkpoint_over_with_the_lease(bench: impl StoreBench) {
    let (store, leases) = (bench.checkpoints(), bench.leases());
    let (fence, nothing) = leases.take(mapping(), shard(0)).await.expect("taken");
    assert_eq!(nothing, None);
    store
        .register(mapping(), vec![(shard(0), first())])
        .await
        .expect("registered");
    store
        .save(mapping(), shard(0), at("9", fence), fence)
        .await
        .expect("saved");
    let (_, found) = leases.take(mapping(), shard(0)).await.expect("taken");
    assert_eq!(found, Some(at("9", fence)));
}

/// Whoever lost a shard can save nothing any more.
pub async fn saves_under_the_newest_fence_only(bench: impl StoreBench) {
    let (store, leases) = (bench.checkpoints(), bench.leases());
    let (old, _) = leases.take(mapping(), shard(0)).await.expect("taken");
    let (new, _) = leases.take(mapping(), shard(0)).await.expect("taken");
    let refused = store.save(mapping(), shard(0), at("1", old), old).await;
    assert_eq!(
        refused.map_err(|error| error.fault().kind),
        Err(FaultKind::Fenced)
    );
    store
        .save(mapping(), shard(0), at("2", new), new)
        .await
        .expect("saved");
    let future = Fence(new.0 + 1);
    let refused = store
        .save(mapping(), shard(0), at("3", future), future)
        .await;
    assert_eq!(
        refused.map_err(|error| error.fault().kind),
        Err(FaultKind::Fenced)
    );
    assert_eq!(rows(&bench, mapping()).await, [(shard(0), at("2", new))]);
}

/// A checkpoint never decreases.
pub async fn refuses_to_go_back(bench: impl StoreBench) {
    let store = bench.checkpoints();
    let (fence, _) = bench
        .leases()
        .take(mapping(), shard(0))
        .await
        .expect("taken");
    store
        .save(mapping(), shard(0), at("10", fence), fence)
        .await
        .expect("saved");
    let refused = store.save(mapping(), shard(0), at("9", fence), fence).await;
    assert!(refused.is_err());
    store
        .save(mapping(), shard(0), at("10", fence), fence)
        .await
        .expect("the same again");
    assert_eq!(rows(&bench, mapping()).await, [(shard(0), at("10", fence))]);
}

/// A stream that was created again begins again.
pub async fn takes_a_new_stream_of_the_same_name(bench: impl StoreBench) {
    let store = bench.checkpoints();
    let (fence, _) = bench
        .leases()
        .take(mapping(), shard(0))
        .await
        .expect("taken");
    store
        .save(mapping(), shard(0), at("10", fence), fence)
        .await
        .expect("saved");
    let anew = Checkpoint {
        incarnation: Some(Wall(78)),
        ..at("1", fence)
    };
    store
        .save(mapping(), shard(0), anew.clone(), fence)
        .await
        .expect("saved");
    assert_eq!(rows(&bench, mapping()).await, [(shard(0), anew)]);
}

/// One mapping never sees another's rows or fences.
pub async fn keeps_mappings_apart(bench: impl StoreBench) {
    let other = MappingId::new("99999999-2222-3333-4444-555555555555");
    let (store, leases) = (bench.checkpoints(), bench.leases());
    let (mine, _) = leases.take(mapping(), shard(0)).await.expect("taken");
    leases.take(other.clone(), shard(0)).await.expect("taken");
    leases.take(other.clone(), shard(0)).await.expect("taken");
    store
        .save(mapping(), shard(0), at("4", mine), mine)
        .await
        .expect("still the newest");
    assert_eq!(rows(&bench, other).await, []);
}

/// Nothing of a checkpoint is lost on the way.
pub async fn keeps_every_part_of_a_checkpoint(bench: impl StoreBench) {
    let store = bench.checkpoints();
    let (fence, _) = bench
        .leases()
        .take(mapping(), shard(0))
        .await
        .expect("taken");
    let full = full_checkpoint(fence);
    store
        .save(mapping(), shard(0), full.clone(), fence)
        .await
        .expect("saved");
    let end = Checkpoint {
        position: Position::ShardEnd,
        ..full.clone()
    };
    assert_eq!(rows(&bench, mapping()).await, [(shard(0), full)]);
    store
        .save(mapping(), shard(0), end.clone(), fence)
        .await
        .expect("saved");
    assert_eq!(rows(&bench, mapping()).await, [(shard(0), end)]);
}

/// An old holder cannot give the new holder's lease up.
pub async fn gives_up_only_what_is_held(bench: impl StoreBench) {
    let (store, leases) = (bench.checkpoints(), bench.leases());
    let (old, _) = leases.take(mapping(), shard(0)).await.expect("taken");
    let (new, _) = leases.take(mapping(), shard(0)).await.expect("taken");
    // Whether this is refused or ignored, the newest holder goes on.
    let _ = leases.release(mapping(), shard(0), old).await;
    store
        .save(mapping(), shard(0), at("2", new), new)
        .await
        .expect("still held");
}

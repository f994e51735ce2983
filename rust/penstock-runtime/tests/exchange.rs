//! Shows that workers and batches meet: under many threads, with schedules drawn from seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use penstock_engine::config::MappingConfig;
use penstock_engine::dispatch::Due;
use penstock_engine::ids::{Fence, InvocationId, MappingId, RequestId, ShardId, SlotId};
use penstock_engine::io::Invocation;
use penstock_engine::record::Batch;
use penstock_engine::time::Mono;
use penstock_runtime::error::RuntimeError;
use penstock_runtime::exchange::{Delivery, Desk, Exchange, Offer, Word};

mod bench;
use bench::config;

const POOL: &str = "main";
const LONG: Duration = Duration::from_secs(20);

fn exchange() -> Arc<Exchange> {
    Exchange::new(&BTreeMap::from([
        (POOL.to_owned(), 4),
        ("other".to_owned(), 1),
    ]))
}

fn invocation(id: u64) -> Invocation {
    Invocation {
        id: InvocationId(id),
        shard: ShardId::new("shard-0"),
        lane: 0,
        attempt: 1,
        request_id: RequestId(u128::from(id)),
        fence: Fence(1),
        deadline: Mono(u64::MAX),
        window: None,
        batch: Batch::default(),
    }
}

fn anyone(due: bool) -> Due {
    if due { Due::Anyone } else { Due::Nobody }
}

/// The next offer, whatever else is heard.
async fn next_offer(desk: &mut Desk) -> Offer {
    loop {
        if let Word::Offer(offer) = desk.listen().await {
            return offer;
        }
    }
}

/// A mapping with `due` batches: answers offers as a mapping's task does. Gives its desk back, so
/// that what it has out stays out.
async fn serve(mut desk: Desk, config: Arc<MappingConfig>, due: u64, hurry: u64) -> Desk {
    let mut given = 0;
    for offers in 0.. {
        desk.mark(POOL, anyone(given < due));
        if given == due {
            break;
        }
        let offer = next_offer(&mut desk).await;
        if offers % (hurry + 1) == hurry {
            tokio::task::yield_now().await;
        }
        if let Some(claim) = desk.claim(offer) {
            claim.fill(config.clone(), invocation(given));
            given += 1;
        }
    }
    desk
}

#[test]
fn every_batch_reaches_exactly_one_worker_whatever_the_schedule() {
    for seed in 0..40_u64 {
        let (mappings, workers, batches) = (1 + seed % 4, 1 + seed % 7, 50 + seed);
        let exchange = exchange();
        let over = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..workers)
            .map(|worker| hurried_worker(&exchange, SlotId(worker as u32), seed, &over))
            .collect();
        let desks = serve_all(&exchange, mappings, batches, seed % 3);
        over.store(true, SeqCst);
        let taken = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        let delivered: Vec<_> = taken.flatten().collect();
        let distinct: BTreeSet<_> = delivered.iter().cloned().collect();
        let wanted = mappings * batches;
        assert_eq!(delivered.len() as u64, wanted, "seed {seed}: none lost");
        assert_eq!(distinct.len(), delivered.len(), "seed {seed}: none twice");
        let pool = &exchange.snapshot()[POOL];
        let left = (pool.waiting, pool.busy, pool.due_mappings);
        assert_eq!(left, (0, 0, 0), "seed {seed}: nobody is forgotten");
        drop(desks);
    }
}

/// A worker with so little time that many waits end while an offer is under way.
fn hurried_worker(
    exchange: &Arc<Exchange>,
    slot: SlotId,
    seed: u64,
    over: &Arc<AtomicBool>,
) -> std::thread::JoinHandle<Vec<(MappingId, InvocationId)>> {
    let (exchange, over) = (exchange.clone(), over.clone());
    std::thread::spawn(move || {
        let mut wait = seed * 31 + u64::from(slot.0) * 17;
        let mut taken = Vec::new();
        while !over.load(SeqCst) {
            wait = wait.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let timeout = Duration::from_micros(wait >> 33 & 0x7f);
            let next = exchange.next_invocation(POOL, slot, timeout);
            if let Some(Delivery {
                mapping,
                invocation,
                ..
            }) = next.expect("it is open")
            {
                assert!(exchange.release(&mapping, invocation.id), "it was out");
                taken.push((mapping, invocation.id));
            }
        }
        taken
    })
}

/// Serves so many mappings until all their batches are taken.
fn serve_all(exchange: &Arc<Exchange>, mappings: u64, batches: u64, hurry: u64) -> Vec<Desk> {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let threads = threads.worker_threads(2).enable_all().build();
    threads.expect("threads").block_on(async {
        let tasks: Vec<_> = (0..mappings)
            .map(|mapping| {
                let config = Arc::new(config(&format!("mapping-{mapping}")));
                let desk = exchange.join(config.id.clone());
                tokio::spawn(serve(desk, config, batches, hurry))
            })
            .collect();
        let mut desks = Vec::new();
        for task in tasks {
            let ended = tokio::time::timeout(LONG, task)
                .await
                .expect("no lost wake-up");
            desks.push(ended.expect("no panic"));
        }
        desks
    })
}

#[tokio::test]
async fn mappings_of_one_pool_take_turns() {
    let exchange = exchange();
    let mut desks: Vec<_> = (0..3)
        .map(|number| exchange.join(MappingId::new(format!("mapping-{number}"))))
        .collect();
    let mut order = Vec::new();
    for desk in &mut desks {
        desk.mark(POOL, Due::Anyone);
    }
    for _ in 0..6 {
        let worker = worker(&exchange, SlotId(0), LONG);
        let (place, offer) = first_offer(&mut desks).await;
        let config = Arc::new(config(&format!("mapping-{place}")));
        desks[place]
            .claim(offer)
            .expect("the worker waits")
            .fill(config, invocation(0));
        desks[place].mark(POOL, Due::Anyone);
        let delivery = worker
            .join()
            .expect("no panic")
            .expect("open")
            .expect("filled");
        exchange.release(&delivery.mapping, delivery.invocation.id);
        order.push(delivery.mapping.to_string());
    }
    let turns = ["mapping-0", "mapping-1", "mapping-2"];
    assert_eq!(order, [turns, turns].concat());
}

#[tokio::test]
async fn a_declined_worker_serves_the_next_mapping_at_once() {
    let exchange = exchange();
    let (mut first, mut second) = (
        exchange.join(MappingId::new("first")),
        exchange.join(MappingId::new("second")),
    );
    first.mark(POOL, Due::Anyone);
    second.mark(POOL, Due::Anyone);
    let worker = worker(&exchange, SlotId(7), LONG);
    let offer = next_offer(&mut first).await;
    drop(first.claim(offer).expect("the worker waits"));
    let offer = next_offer(&mut second).await;
    let claim = second.claim(offer).expect("the worker waits still");
    assert_eq!(claim.slot(), SlotId(7));
    claim.fill(Arc::new(config("second")), invocation(3));
    let delivery = worker
        .join()
        .expect("no panic")
        .expect("open")
        .expect("filled");
    assert_eq!(delivery.mapping, MappingId::new("second"));
    assert_eq!(exchange.snapshot()[POOL].busy, 1);
}

#[tokio::test]
async fn a_worker_whose_time_is_up_has_left_for_certain() {
    let exchange = exchange();
    let mut desk = exchange.join(MappingId::new("mapping"));
    desk.mark(POOL, Due::Anyone);
    let nothing = worker(&exchange, SlotId(0), Duration::from_millis(1)).join();
    assert!(nothing.expect("no panic").expect("open").is_none());
    let offer = next_offer(&mut desk).await;
    assert!(desk.claim(offer).is_none(), "nobody is there to take it");
    desk.mark(POOL, Due::Anyone);
    let worker = worker(&exchange, SlotId(0), LONG);
    let offer = next_offer(&mut desk).await;
    desk.claim(offer)
        .expect("it waits")
        .fill(Arc::new(config("mapping")), invocation(1));
    assert!(worker.join().expect("no panic").expect("open").is_some());
}

#[tokio::test]
async fn a_mapping_that_ends_gives_its_workers_back() {
    let exchange = exchange();
    let mut ending = exchange.join(MappingId::new("ending"));
    ending.mark(POOL, Due::Anyone);
    let worker = worker(&exchange, SlotId(0), LONG);
    let offer = next_offer(&mut ending).await;
    drop(ending);
    drop(offer);
    let mut other = exchange.join(MappingId::new("other"));
    other.mark(POOL, Due::Anyone);
    let offer = next_offer(&mut other).await;
    other
        .claim(offer)
        .expect("it waits")
        .fill(Arc::new(config("other")), invocation(1));
    assert!(worker.join().expect("no panic").expect("open").is_some());
}

#[test]
fn closing_sends_everybody_away_at_once() {
    let exchange = exchange();
    let began = Instant::now();
    let workers: Vec<_> = (0..4)
        .map(|slot| worker(&exchange, SlotId(slot), LONG))
        .collect();
    while exchange.snapshot()[POOL].waiting < 4 {
        assert!(began.elapsed() < LONG, "the workers take their seats");
        std::thread::yield_now();
    }
    exchange.close();
    for worker in workers {
        assert_eq!(
            worker.join().expect("no panic").map(|_| ()),
            Err(RuntimeError::Closed)
        );
    }
    let late = exchange.next_invocation(POOL, SlotId(0), LONG).map(|_| ());
    assert_eq!(late, Err(RuntimeError::Closed));
    assert!(began.elapsed() < LONG);
}

#[test]
fn an_unknown_pool_is_refused_by_name() {
    let refused = exchange()
        .next_invocation("absent", SlotId(0), LONG)
        .map(|_| ());
    assert_eq!(refused, Err(RuntimeError::UnknownPool("absent".to_owned())));
}

type Worker = std::thread::JoinHandle<Result<Option<Delivery>, RuntimeError>>;

/// A thread that takes a seat; returns when it is seated or done.
fn worker(exchange: &Arc<Exchange>, slot: SlotId, timeout: Duration) -> Worker {
    let exchange = exchange.clone();
    std::thread::spawn(move || exchange.next_invocation(POOL, slot, timeout))
}

async fn first_offer(desks: &mut [Desk]) -> (usize, Offer) {
    let mut offers: Vec<_> = desks
        .iter_mut()
        .map(|desk| Box::pin(next_offer(desk)))
        .collect();
    let first = std::future::poll_fn(|context| {
        for (place, offer) in offers.iter_mut().enumerate() {
            if let std::task::Poll::Ready(offer) = offer.as_mut().poll(context) {
                return std::task::Poll::Ready((place, offer));
            }
        }
        std::task::Poll::Pending
    });
    tokio::time::timeout(LONG, first)
        .await
        .expect("somebody is offered a worker")
}

#[tokio::test]
async fn a_mapping_whose_handler_is_slow_leaves_a_worker_to_another() {
    let exchange = Exchange::new(&BTreeMap::from([(POOL.to_owned(), 4)]));
    let mut slow = exchange.join(MappingId::new("slow"));
    let mut other = exchange.join(MappingId::new("other"));
    other.mark(POOL, Due::Nobody);
    let workers: Vec<_> = (0..4)
        .map(|slot| {
            let exchange = exchange.clone();
            std::thread::spawn(move || exchange.next_invocation(POOL, SlotId(slot), LONG))
        })
        .collect();
    let shared = Arc::new(config("slow"));
    for number in 0..3 {
        slow.mark(POOL, Due::Anyone);
        let offer = next_offer(&mut slow).await;
        let claim = slow.claim(offer).expect("the worker waits");
        claim.fill(shared.clone(), invocation(number));
    }
    slow.mark(POOL, Due::Anyone);
    let fourth = tokio::time::timeout(Duration::from_millis(50), next_offer(&mut slow)).await;
    assert!(
        fourth.is_err(),
        "the last worker is kept for the mapping that rests"
    );
    other.mark(POOL, Due::Anyone);
    let offer = next_offer(&mut other).await;
    let claim = other.claim(offer).expect("the worker waits");
    claim.fill(shared, invocation(9));
    for worker in workers {
        let taken = worker.join().expect("no panic").expect("it is open");
        assert!(taken.is_some());
    }
}

#[tokio::test]
async fn a_batch_for_one_slot_waits_for_it_and_holds_nobody_up() {
    let exchange = exchange();
    let mut bound = exchange.join(MappingId::new("bound"));
    let mut free = exchange.join(MappingId::new("free"));
    bound.mark(POOL, Due::Only(vec![SlotId(1)]));
    let other = worker(&exchange, SlotId(0), LONG);
    let nothing = tokio::time::timeout(Duration::from_millis(50), next_offer(&mut bound)).await;
    assert!(nothing.is_err(), "slot 0 is not offered to it");
    free.mark(POOL, Due::Anyone);
    let shared = Arc::new(config("free"));
    let claim = next_offer(&mut free).await;
    let claim = free.claim(claim).expect("the worker waits");
    assert_eq!(
        claim.slot(),
        SlotId(0),
        "who came later is served all the same"
    );
    claim.fill(shared.clone(), invocation(1));
    assert!(other.join().expect("no panic").expect("open").is_some());
    let own = worker(&exchange, SlotId(1), LONG);
    let claim = next_offer(&mut bound).await;
    let claim = bound.claim(claim).expect("the worker waits");
    assert_eq!(claim.slot(), SlotId(1));
    claim.fill(shared, invocation(2));
    assert!(own.join().expect("no panic").expect("open").is_some());
}

#[tokio::test]
async fn a_batch_that_becomes_due_for_another_slot_is_offered_that_one() {
    let exchange = exchange();
    let mut desk = exchange.join(MappingId::new("mapping"));
    let waiting = worker(&exchange, SlotId(0), LONG);
    desk.mark(POOL, Due::Only(vec![SlotId(1)]));
    desk.mark(POOL, Due::Only(vec![SlotId(0), SlotId(1)]));
    let claim = next_offer(&mut desk).await;
    let claim = desk.claim(claim).expect("the worker waits");
    claim.fill(Arc::new(config("mapping")), invocation(1));
    assert!(waiting.join().expect("no panic").expect("open").is_some());
}

#[tokio::test]
async fn a_mapping_hears_of_the_crew_before_any_offer() {
    let exchange = exchange();
    let mut desk = exchange.join(MappingId::new("mapping"));
    exchange
        .set_crew(POOL, vec![SlotId(0)])
        .expect("there is such a pool");
    let waiting = worker(&exchange, SlotId(0), LONG);
    desk.mark(POOL, Due::Anyone);
    assert!(matches!(desk.listen().await, Word::Crew(slots) if slots == [SlotId(0)]));
    let claim = next_offer(&mut desk).await;
    let claim = desk.claim(claim).expect("the worker waits");
    claim.fill(Arc::new(config("mapping")), invocation(1));
    assert!(waiting.join().expect("no panic").expect("open").is_some());
    desk.mark("other", Due::Nobody);
    assert!(matches!(desk.listen().await, Word::Crew(slots) if slots.is_empty()));
    let refused = exchange.set_crew("absent", Vec::new());
    assert_eq!(refused, Err(RuntimeError::UnknownPool("absent".to_owned())));
}

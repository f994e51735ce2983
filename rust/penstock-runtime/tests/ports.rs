//! Runs the shared suites on every port that this crate implements.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use penstock_engine::failure::FailureDocument;
use penstock_engine::fault::FaultKind;
use penstock_engine::ids::{MappingId, Position, ShardId};
use penstock_engine::time::Wall;
use penstock_runtime::clock::{Clock, ManualClock};
use penstock_runtime::destination::{
    EmbeddedDestination, ErrandDestination, FileDestination, MemoryDestination, errand,
};
use penstock_runtime::errands::Errands;
use penstock_runtime::ports::{
    CheckpointStore, Destination, LeaseStore, SharedStore, StreamSource,
};
use penstock_runtime::source::{EmbeddedSource, MemorySource};
use penstock_runtime::state::State;
use penstock_runtime::state::streams::{NewRecord, StreamLimits};
use penstock_runtime::testing::destination::DestinationBench;
use penstock_runtime::testing::shared::SharedBench;
use penstock_runtime::testing::source::SourceBench;
use penstock_runtime::testing::store::StoreBench;
use penstock_runtime::testing::stream_record;
use penstock_runtime::testing::table::MemoryTable;
use tempfile::TempDir;

mod memory_source {
    penstock_runtime::ports_suite!(source: super::memory_source);
}
mod embedded_source_on_disk {
    penstock_runtime::ports_suite!(source: super::embedded_source_on_disk);
}
mod embedded_source_in_memory {
    penstock_runtime::ports_suite!(source: super::embedded_source_in_memory);
}
mod store_on_disk {
    penstock_runtime::ports_suite!(store: super::store_on_disk);
}
mod store_in_memory {
    penstock_runtime::ports_suite!(store: super::store_in_memory);
}
mod memory_table {
    penstock_runtime::ports_suite!(shared: super::memory_table);
}
mod memory_destination {
    penstock_runtime::ports_suite!(destination: super::memory_destination);
}
mod embedded_destination {
    penstock_runtime::ports_suite!(destination: super::embedded_destination);
}
mod file_destination {
    penstock_runtime::ports_suite!(destination: super::file_destination);
}
mod errand_destinations {
    penstock_runtime::ports_suite!(destination: super::errand_destination);
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Wall(1_700_000_000_000)))
}

fn state(directory: Option<&TempDir>, clock: Arc<dyn Clock>) -> Arc<State> {
    let path = directory.map(TempDir::path);
    State::open(path, clock, StreamLimits::default()).expect("the state opens")
}

struct MemoryBench {
    clock: Arc<ManualClock>,
    source: Arc<MemorySource>,
}

async fn memory_source() -> MemoryBench {
    let clock = clock();
    MemoryBench {
        source: MemorySource::new(clock.clone(), 1),
        clock,
    }
}

impl SourceBench for MemoryBench {
    fn source(&self) -> Arc<dyn StreamSource> {
        self.source.clone()
    }

    fn put<'a>(&'a self, partition_key: &'a str, data: &'a [u8]) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.source.push("shard-0", partition_key, data) })
    }

    fn split(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            for child in ["shard-1", "shard-2"] {
                self.source.open_shard(child, vec![ShardId::new("shard-0")]);
            }
            self.source.close_shard("shard-0");
        })
    }

    fn pass(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.clock.advance(Duration::from_millis(5)) })
    }
}

struct EmbeddedBench {
    clock: Arc<ManualClock>,
    state: Arc<State>,
    source: Arc<dyn StreamSource>,
    _directory: Option<TempDir>,
}

async fn embedded_source_on_disk() -> EmbeddedBench {
    embedded_source(Some(tempfile::tempdir().expect("a directory")))
}

async fn embedded_source_in_memory() -> EmbeddedBench {
    embedded_source(None)
}

fn embedded_source(directory: Option<TempDir>) -> EmbeddedBench {
    let clock = clock();
    let state = state(directory.as_ref(), clock.clone());
    threaded(|| state.streams().create("orders", 1).expect("created"));
    let source = EmbeddedSource::open(state.clone(), "orders").expect("it is there");
    EmbeddedBench {
        clock,
        state,
        source,
        _directory: directory,
    }
}

/// Calls that wait as threads do not belong on a thread of the test's own runtime.
fn threaded<T: Send>(call: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(call).join().expect("no panic"))
}

impl SourceBench for EmbeddedBench {
    fn source(&self) -> Arc<dyn StreamSource> {
        self.source.clone()
    }

    fn put<'a>(&'a self, partition_key: &'a str, data: &'a [u8]) -> BoxFuture<'a, ()> {
        let (partition_key, data) = (partition_key.to_owned(), data.to_owned());
        let record = NewRecord {
            partition_key,
            data,
            hash_key: None,
        };
        Box::pin(async move {
            let put = self.state.streams().put_from_task("orders", vec![record]);
            put.await.expect("put");
        })
    }

    fn split(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let shard = ShardId::new("shardId-000000000000");
            threaded(|| self.state.streams().split("orders", &shard, None)).expect("split");
        })
    }

    fn pass(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.clock.advance(Duration::from_millis(5)) })
    }
}

struct StateBench {
    state: Arc<State>,
    _directory: Option<TempDir>,
}

async fn store_on_disk() -> StateBench {
    let directory = tempfile::tempdir().expect("a directory");
    StateBench {
        state: state(Some(&directory), clock()),
        _directory: Some(directory),
    }
}

async fn store_in_memory() -> StateBench {
    StateBench {
        state: state(None, clock()),
        _directory: None,
    }
}

impl StoreBench for StateBench {
    fn checkpoints(&self) -> Arc<dyn CheckpointStore> {
        self.state.clone()
    }

    fn leases(&self) -> Arc<dyn LeaseStore> {
        self.state.clone()
    }
}

struct TableBench(Arc<MemoryTable>);

async fn memory_table() -> TableBench {
    TableBench(MemoryTable::new())
}

impl SharedBench for TableBench {
    fn store(&self) -> Arc<dyn SharedStore> {
        self.0.clone()
    }
}

struct DocumentBench(Arc<MemoryDestination>);

async fn memory_destination() -> DocumentBench {
    DocumentBench(MemoryDestination::new())
}

impl DestinationBench for DocumentBench {
    fn destination(&self) -> Arc<dyn Destination> {
        self.0.clone()
    }

    fn bodies(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async move {
            self.0
                .documents()
                .iter()
                .map(|document| document.body.clone())
                .collect()
        })
    }
}

struct StreamBench {
    state: Arc<State>,
    destination: Arc<dyn Destination>,
}

async fn embedded_destination() -> StreamBench {
    let state = state(None, clock());
    let open = || EmbeddedDestination::open(state.clone(), "failed").expect("it opens");
    let destination = threaded(open);
    StreamBench { state, destination }
}

impl DestinationBench for StreamBench {
    fn destination(&self) -> Arc<dyn Destination> {
        self.destination.clone()
    }

    fn bodies(&self) -> BoxFuture<'_, Vec<String>> {
        use base64::Engine as _;
        Box::pin(async move {
            let shard = ShardId::new("shardId-000000000000");
            let from = Position::TrimHorizon;
            let fetched = self
                .state
                .streams()
                .read("failed", &shard, &from, 100)
                .expect("read");
            let page = fetched.page.expect("documents came");
            (0..page.facts().len())
                .map(|index| {
                    let (_, _, data, _) = stream_record(page.view(index));
                    let body = base64::engine::general_purpose::STANDARD.decode(data);
                    String::from_utf8(body.expect("base64")).expect("text")
                })
                .collect()
        })
    }
}

struct FileBench {
    directory: TempDir,
    destination: Arc<dyn Destination>,
}

async fn file_destination() -> FileBench {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("failed.jsonl");
    let destination = FileDestination::open(&path).expect("it opens");
    FileBench {
        directory,
        destination,
    }
}

impl DestinationBench for FileBench {
    fn destination(&self) -> Arc<dyn Destination> {
        self.destination.clone()
    }

    fn bodies(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async move {
            let text = std::fs::read_to_string(self.directory.path().join("failed.jsonl"));
            text.expect("it is there")
                .lines()
                .map(str::to_owned)
                .collect()
        })
    }
}

/// A thread takes the errands and keeps what they bring.
struct ErrandBench {
    errands: Arc<Errands>,
    destination: Arc<dyn Destination>,
    taken: Arc<Mutex<Vec<String>>>,
}

async fn errand_destination() -> ErrandBench {
    let errands = Errands::new();
    let taken = Arc::new(Mutex::new(Vec::new()));
    std::thread::spawn({
        let (errands, taken) = (errands.clone(), taken.clone());
        move || {
            while let Ok(errand) = errands.next(&[errand::DELIVER], Duration::from_secs(5)) {
                let Some(errand) = errand else { continue };
                let text = String::from_utf8(errand.document).expect("text");
                let (head, body) = text.split_once('\n').expect("a head");
                let head: serde_json::Value = serde_json::from_str(head).expect("JSON");
                assert_eq!(head["mapping"], "mapping");
                assert_eq!(head["destination"], "somewhere");
                taken.lock().expect("no panic").push(body.to_owned());
                errands.finish(errand.id, Ok(Vec::new()));
            }
        }
    });
    let destination = ErrandDestination::open(errands.clone(), MappingId::new("mapping"));
    ErrandBench {
        errands,
        destination,
        taken,
    }
}

impl DestinationBench for ErrandBench {
    fn destination(&self) -> Arc<dyn Destination> {
        self.destination.clone()
    }

    fn bodies(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async move { self.taken.lock().expect("no panic").clone() })
    }
}

impl Drop for ErrandBench {
    fn drop(&mut self) {
        self.errands.close();
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_nobody_answers_is_given_up_and_taken_back() {
    let errands = Errands::new();
    let destination = ErrandDestination::open(errands.clone(), MappingId::new("mapping"));
    let document = FailureDocument {
        id: "id".to_owned(),
        destination: "sqs:failed".to_owned(),
        shard: ShardId::new("shard"),
        records: 1,
        timestamp: String::new(),
        body: "{}".to_owned(),
        bare: None,
    };
    let error = destination.deliver(Arc::new(document)).await;
    let fault = error.expect_err("nobody answers").fault().clone();
    assert_eq!(fault.kind, FaultKind::Transient);
    assert_eq!(fault.message, "sqs:failed took no document within 60 s");
    assert_eq!(errands.waiting(), 0);
}

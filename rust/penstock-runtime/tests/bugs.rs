//! Shows that a bug in one mapping, or in its drivers, ends or stalls that mapping only.

use std::fs;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use penstock_engine::config::SourceProfile;
use penstock_engine::ids::ShardId;
use penstock_engine::io::{Fetched, ShardInfo, ShardListing};
use penstock_engine::record::{Page, RecordFacts, RecordView};
use penstock_engine::snapshot::MappingState;
use penstock_engine::time::Wall;
use penstock_runtime::error::SourceError;
use penstock_runtime::ports::{FetchRequest, Source, StreamSource};
use penstock_runtime::runtime::RuntimeConfig;
use penstock_runtime::source::EmbeddedSource;

mod bench;
mod room;
use bench::config;
use room::{LONG, STREAM, record, settings, start, succeed, until, with_stream, work};

#[test]
fn a_panic_ends_its_mapping_and_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let traces = directory.path().join("traces");
    let runtime = start(RuntimeConfig {
        trace_dir: Some(traces.clone()),
        ..settings()
    });
    let broken = Arc::new(Broken { in_listing: false });
    runtime
        .add_mapping(config("broken"), Source::Stream(broken), None)
        .expect("added");
    let source = with_stream(&runtime, 1);
    runtime
        .add_mapping(config("sound"), source, None)
        .expect("added");
    until("the broken one has ended", || {
        let snapshot = runtime.snapshot().expect("open");
        snapshot
            .mappings
            .iter()
            .any(|one| one.ended && one.error.is_some())
    });
    runtime
        .state()
        .streams()
        .put(STREAM, vec![record("a")])
        .expect("put");
    assert_eq!(work(&runtime, 1, succeed), ["a"]);
    let notices = runtime.drain_notices(100);
    let told = notices
        .iter()
        .find(|(_, notice)| notice.code == "internal_error");
    let (mapping, notice) = told.expect("people are told");
    assert_eq!(mapping.as_str(), "broken");
    assert!(
        notice.message.contains("a bug in a page"),
        "{}",
        notice.message
    );
    let names: Vec<_> = fs::read_dir(&traces)
        .expect("traces were written")
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert!(
        names
            .iter()
            .any(|name| name.starts_with("broken-") && name.ends_with("tail.txt"))
    );
    assert!(!runtime.drain(LONG).expect("open"), "a bug is no clean end");
    runtime.close(LONG);
}

#[test]
fn logs_of_the_runtimes_threads_are_pulled() {
    let settings = RuntimeConfig {
        log_level: tracing::Level::DEBUG,
        ..settings()
    };
    let runtime = start(settings);
    let broken = Arc::new(Broken { in_listing: false });
    runtime
        .add_mapping(config("broken"), Source::Stream(broken), None)
        .expect("added");
    until("a line about the bug", || {
        runtime.drain_logs(100).iter().any(|line| {
            line.level == tracing::Level::ERROR
                && line
                    .fields
                    .contains(&("mapping".to_owned(), "broken".to_owned()))
        })
    });
    runtime.close(LONG);
}

#[test]
fn a_driver_that_panics_is_a_fault_of_its_mapping() {
    let runtime = start(settings());
    let broken = Arc::new(Broken { in_listing: true });
    runtime
        .add_mapping(config("broken"), Source::Stream(broken), None)
        .expect("added");
    until("the mapping tells why it does not move", || {
        let snapshot = runtime.snapshot().expect("open");
        let picture = snapshot.mappings[0].snapshot.clone();
        picture.is_some_and(|one| {
            let told = format!("{:?}", one.stall);
            one.state == MappingState::Failing && told.contains("did not finish a request")
        })
    });
    runtime.close(LONG);
}

/// A source with a bug: in its listing, or in the pages that it gives.
struct Broken {
    in_listing: bool,
}

impl StreamSource for Broken {
    fn profile(&self) -> SourceProfile {
        EmbeddedSource::profile_of_all()
    }

    fn list_shards(&self) -> BoxFuture<'_, Result<ShardListing, SourceError>> {
        assert!(!self.in_listing, "a bug in the listing");
        let shard = ShardInfo {
            id: ShardId::new("shard-0"),
            parents: Vec::new(),
            closed: false,
        };
        let (shards, server_time) = (vec![shard], Wall(1));
        let listing = ShardListing {
            shards,
            server_time,
            incarnation: None,
            retention: None,
        };
        Box::pin(async { Ok(listing) })
    }

    fn fetch(&self, _request: FetchRequest) -> BoxFuture<'_, Result<Fetched, SourceError>> {
        let page: Option<Arc<dyn Page>> = Some(Arc::new(BrokenPage));
        let (next, behind_ms, ended, children) = (None, Some(0), false, Vec::new());
        Box::pin(async move {
            Ok(Fetched {
                page,
                next,
                behind_ms,
                ended,
                children,
            })
        })
    }
}

/// Panics where the engine looks first, which is on the mapping's own task.
#[derive(Debug)]
struct BrokenPage;

impl Page for BrokenPage {
    fn facts(&self) -> &[RecordFacts] {
        panic!("a bug in a page")
    }

    fn sequence_number(&self, _index: usize) -> &str {
        "1"
    }

    fn view(&self, _index: usize) -> RecordView<'_> {
        let arrival = Wall(1);
        RecordView::Kinesis {
            partition_key: "k",
            sequence_number: "1",
            data: "",
            arrival,
        }
    }

    fn pinned_bytes(&self) -> usize {
        0
    }

    fn extract(&self, _indices: &[u32]) -> Arc<dyn Page> {
        Arc::new(Self)
    }
}

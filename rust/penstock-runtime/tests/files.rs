//! Shows what a file of failure documents does when the disk does not play along.

use std::path::Path;
use std::sync::Arc;

use penstock_engine::failure::FailureDocument;
use penstock_engine::fault::FaultKind;
use penstock_engine::ids::ShardId;
use penstock_runtime::destination::FileDestination;

fn document(body: &str) -> Arc<FailureDocument> {
    Arc::new(FailureDocument {
        id: "id".to_owned(),
        destination: "file:failed.jsonl".to_owned(),
        shard: ShardId::new("shardId-000000000000"),
        records: 1,
        timestamp: String::new(),
        bare: None,
        body: body.to_owned(),
    })
}

#[test]
fn a_file_that_cannot_be_is_refused_when_it_is_opened() {
    let directory = tempfile::tempdir().expect("a directory");
    for (path, kind) in [
        (
            directory.path().join("absent/failed.jsonl"),
            FaultKind::NotFound,
        ),
        (directory.path().to_owned(), FaultKind::Invalid),
    ] {
        let refused = FileDestination::open(&path)
            .err()
            .expect("it cannot be opened");
        assert_eq!(refused.fault().kind, kind, "{refused}");
        assert!(
            refused.to_string().contains(path.to_str().expect("text")),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_tried_again() {
    let full = FileDestination::open(Path::new("/dev/full")).expect("it opens");
    for _ in 0..2 {
        let refused = full
            .deliver(document("{}"))
            .await
            .expect_err("there is no room");
        assert_eq!(refused.fault().kind, FaultKind::Transient, "{refused}");
    }
}

#[tokio::test]
async fn documents_are_added_behind_what_is_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("failed.jsonl");
    for body in ["{\"n\":1}", "{\"n\":2}"] {
        let file = FileDestination::open(&path).expect("it opens");
        file.deliver(document(body)).await.expect("delivered");
    }
    let text = std::fs::read_to_string(&path).expect("readable");
    assert_eq!(text, "{\"n\":1}\n{\"n\":2}\n");
}

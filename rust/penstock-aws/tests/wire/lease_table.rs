//! Runs the shared suite of shared stores against a lease table on the wire, and shows what it
//! does with tables that are not its own, with lost answers and with rows of the library.
//!
//! The suite runs against an imitation, or against the server of DynamoDB on loopback whose port
//! `PENSTOCK_DYNAMODB` says.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use penstock_aws::dynamodb::{DynamoDbTable, DynamoDbTableOptions};
use penstock_engine::fault::FaultKind;
use penstock_engine::ids::{Fence, Owner, Position, SequenceNumber, ShardId};
use penstock_engine::io::Checkpoint;
use penstock_engine::lease::{Row, Write};
use penstock_runtime::error::StoreError;
use penstock_runtime::ports::{Answer, NewRow, Save, SharedStore};
use penstock_runtime::testing::shared::SharedBench;
use serde_json::{Value, json};

use crate::items::Tables;
use crate::support::{Call, Refresh, Reply, Server, access};

penstock_runtime::ports_suite!(shared: bench);

const SHARD: &str = "shardId-000000000000";
const SEQUENCE: &str = "49590338271490256608559692538361571095921575989136588898";

/// Tables are made by many tests at once, and a real server keeps them.
static TABLES: AtomicUsize = AtomicUsize::new(0);

struct Bench {
    url: String,
    table: String,
    _server: Option<Server>,
}

async fn bench() -> Bench {
    let number = TABLES.fetch_add(1, Ordering::Relaxed);
    let table = format!("leases-{}-{number}", std::process::id());
    let (url, server) = match std::env::var("PENSTOCK_DYNAMODB") {
        Ok(port) => (format!("http://127.0.0.1:{port}"), None),
        Err(_) => {
            let (server, _) = imitation(|_| None).await;
            (server.url.clone(), Some(server))
        }
    };
    let bench = Bench {
        url,
        table,
        _server: server,
    };
    opened(&*bench.store()).await.expect("it opens");
    bench
}

impl SharedBench for Bench {
    fn store(&self) -> Arc<dyn SharedStore> {
        Arc::new(store_of(&self.url, &self.table, "orders of reader"))
    }
}

/// Opens a store, which is made first.
async fn opened(store: &dyn SharedStore) -> Result<(), StoreError> {
    for _ in 0..100 {
        match store.open().await {
            Err(error) if error.fault().kind == FaultKind::Transient => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            done => return done,
        }
    }
    panic!("the table is never ready");
}

fn store_of(url: &str, table: &str, application: &str) -> DynamoDbTable {
    let (_, book) = Refresh::book(|_, _| panic!("the access is there"));
    let patient = json!({"connect_timeout_s": 20.0, "read_timeout_s": 20.0});
    book.push("default", access(url, &patient));
    let options = DynamoDbTableOptions {
        table: table.to_owned(),
        access: "default".to_owned(),
        application: application.to_owned(),
        patience: Duration::from_secs(20),
    };
    DynamoDbTable::new(options, book)
}

/// A server that imitates DynamoDB, but where `spoilt` has something to say.
async fn imitation(
    spoilt: impl Fn(&Call) -> Option<fn(Reply) -> Reply> + Send + Sync + 'static,
) -> (Server, Arc<Mutex<Tables>>) {
    let tables = Arc::<Mutex<Tables>>::default();
    let served = Arc::clone(&tables);
    let server = Server::start(move |call| {
        let reply = served.lock().unwrap().answer(call);
        match spoilt(call) {
            Some(spoil) => spoil(reply),
            None => reply,
        }
    })
    .await;
    (server, tables)
}

/// A lease table with one row of the library's, whose attributes may be changed.
fn of_the_library(tables: &Mutex<Tables>, changes: Value) {
    let mut tables = tables.lock().unwrap();
    tables.create(&json!({
        "TableName": "leases",
        "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}],
    }));
    let mut item = json!({
        "leaseKey": {"S": SHARD}, "entityType": {"S": "LEASE"}, "leaseOwner": {"S": "worker"},
        "leaseCounter": {"N": "41"}, "checkpoint": {"S": SEQUENCE},
        "checkpointSubSequenceNumber": {"N": "3"}, "ownerSwitchesSinceCheckpoint": {"N": "2"},
        "checkpointOwner": {"S": "worker-before"}, "throughputKBps": {"N": "0.25"},
    });
    for (name, value) in changes.as_object().unwrap() {
        item[name] = value.clone();
    }
    tables.put("leases", &item);
}

fn shard() -> ShardId {
    ShardId::new(SHARD)
}

fn take(row: &Row) -> Write {
    Write::Take {
        owner: Owner::new("a"),
        from: row.owner.clone(),
        seen: row.counter,
        counter: row.counter + 1,
    }
}

fn save(fence: Fence, number: u64) -> Save {
    let position = Position::after(SequenceNumber::new("7"));
    Save {
        shard: shard(),
        owner: Owner::new("a"),
        fence,
        number,
        checkpoint: Checkpoint::starting_at(position, None),
    }
}

async fn registered(server: &Server) -> DynamoDbTable {
    let store = store_of(&server.url, "leases", "orders of reader");
    opened(&store).await.expect("it opens");
    let row = NewRow {
        shard: shard(),
        parents: Vec::new(),
        checkpoint: Checkpoint::starting_at(Position::TrimHorizon, None),
    };
    store.register(vec![row]).await.expect("registered");
    store
}

async fn row(store: &DynamoDbTable) -> Row {
    let row = store.read(shard()).await.expect("it reads");
    row.expect("there is one")
}

#[tokio::test]
async fn a_table_of_another_shape_is_refused_and_left_alone() {
    let (server, tables) = imitation(|_| None).await;
    tables.lock().unwrap().create(&json!({
        "TableName": "leases",
        "KeySchema": [
            {"AttributeName": "customer", "KeyType": "HASH"},
            {"AttributeName": "order", "KeyType": "RANGE"},
        ],
        "AttributeDefinitions": [
            {"AttributeName": "customer", "AttributeType": "S"},
            {"AttributeName": "order", "AttributeType": "N"},
        ],
    }));
    let store = store_of(&server.url, "leases", "orders of reader");
    let error = store.open().await.expect_err("it is no lease table");
    assert_eq!(error.fault().kind, FaultKind::Invalid);
    let text = error.to_string();
    assert!(
        text.contains("customer (S, HASH) and order (N, RANGE)"),
        "{text}"
    );
    assert_eq!(server.operations(), ["DescribeTable"]);
}

#[tokio::test]
async fn rows_of_another_application_are_refused_and_left_alone() {
    let (server, tables) = imitation(|_| None).await;
    let store = registered(&server).await;
    let before = tables.lock().unwrap().item("leases", &[SHARD]).cloned();
    let row = row(&store).await;
    let other = store_of(&server.url, "leases", "payments of reader");
    let new = NewRow {
        shard: shard(),
        parents: Vec::new(),
        checkpoint: Checkpoint::starting_at(Position::TrimHorizon, None),
    };
    let refused = [
        other.open().await.err(),
        other.scan().await.err(),
        other.load(shard()).await.err(),
        other.register(vec![new]).await.err(),
        other.write(shard(), take(&row)).await.err(),
    ];
    for error in refused {
        let error = error.expect("it is another's");
        assert_eq!(error.fault().kind, FaultKind::Invalid);
        assert!(
            error.to_string().contains("is of orders of reader"),
            "{error}"
        );
    }
    let after = tables.lock().unwrap().item("leases", &[SHARD]).cloned();
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_row_of_the_library_is_taken_over_whole() {
    let (server, tables) = imitation(|_| None).await;
    // What an earlier lease of ours left behind counts for nothing.
    let ours = json!({"penstockFence": {"N": "9"}, "penstockOwner": {"S": "a"}});
    of_the_library(&tables, ours);
    let store = store_of(&server.url, "leases", "orders of reader");
    store.open().await.expect("it is a lease table");
    let seen = row(&store).await;
    assert_eq!((seen.fence, seen.wanted_by.clone()), (None, None));
    let zombie = [
        Write::Renew {
            owner: Owner::new("a"),
            fence: Fence(9),
        },
        Write::Ask {
            owner: Owner::new("b"),
            from: Owner::new("worker"),
            fence: Fence(9),
        },
    ];
    for write in zombie {
        let answer = store.write(shard(), write).await;
        assert_eq!(answer, Ok(Answer::Refused(Some(seen.clone()))));
    }
    let taken = store.write(shard(), take(&seen)).await.expect("answered");
    assert!(
        matches!(&taken, Answer::Written(row) if row.switches == 3),
        "{taken:?}"
    );
    let position = Position::After {
        sequence: SequenceNumber::new(SEQUENCE),
        sub: Some(3),
    };
    let loaded = store.load(shard()).await.expect("it loads");
    assert_eq!(loaded, Some(Checkpoint::starting_at(position, None)));
    let item = tables.lock().unwrap().item("leases", &[SHARD]).cloned();
    let item = item.expect("it is there");
    assert!(
        !item.contains_key("checkpointOwner"),
        "nobody else works on it any more"
    );
    assert_eq!(item["throughputKBps"], json!({"N": "0.25"}));
}

#[tokio::test]
async fn what_is_ours_in_a_row_counts_until_the_library_goes_on() {
    let (server, tables) = imitation(|_| None).await;
    let store = registered(&server).await;
    let seen = row(&store).await;
    store.write(shard(), take(&seen)).await.expect("taken");
    let saved = save(Fence(1), 1);
    store.save(saved.clone()).await.expect("saved");
    let mut item = tables
        .lock()
        .unwrap()
        .item("leases", &[SHARD])
        .cloned()
        .unwrap();
    item.insert("leaseOwner".to_owned(), json!({"S": "worker"}));
    item.insert("leaseCounter".to_owned(), json!({"N": "2"}));
    tables
        .lock()
        .unwrap()
        .put("leases", &Value::Object(item.clone()));
    assert_eq!(store.load(shard()).await, Ok(Some(saved.checkpoint)));
    item.insert("checkpoint".to_owned(), json!({"S": "8"}));
    tables.lock().unwrap().put("leases", &Value::Object(item));
    let further = Position::After {
        sequence: SequenceNumber::new("8"),
        sub: Some(0),
    };
    let wanted = Checkpoint::starting_at(further, None);
    assert_eq!(store.load(shard()).await, Ok(Some(wanted)));
}

#[tokio::test]
async fn a_table_of_several_streams_is_refused() {
    let (server, tables) = imitation(|_| None).await;
    of_the_library(
        &tables,
        json!({"streamName": {"S": "123456789012:orders:1"}}),
    );
    let store = store_of(&server.url, "leases", "orders of reader");
    let error = store.open().await.expect_err("it has several streams");
    assert_eq!(error.fault().kind, FaultKind::Invalid);
    assert!(error.to_string().contains("several streams"), "{error}");
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_looked_up() {
    let cut = Arc::new(AtomicBool::new(false));
    let cuts = Arc::clone(&cut);
    let (server, _) = imitation(move |call| {
        let spoilt = call.operation == "UpdateItem" && cuts.load(Ordering::SeqCst);
        spoilt.then_some(|reply| reply.cut(0))
    })
    .await;
    let store = registered(&server).await;
    let seen = row(&store).await;
    cut.store(true, Ordering::SeqCst);
    let taken = store.write(shard(), take(&seen)).await.expect("looked up");
    assert!(matches!(&taken, Answer::Written(row) if row.fence == Some(Fence(1))));
    store.save(save(Fence(1), 1)).await.expect("looked up");
    let late = store.write(shard(), take(&seen)).await.expect("looked up");
    assert!(
        matches!(late, Answer::Written(_)),
        "the same take, once more: {late:?}"
    );
    let renew = Write::Renew {
        owner: Owner::new("a"),
        fence: Fence(1),
    };
    // Whether this renewal or an earlier one was accepted, no row tells.
    let unknown = store.write(shard(), renew).await.expect_err("not known");
    assert_eq!(unknown.fault().kind, FaultKind::Transient);
}

#[tokio::test]
async fn refusals_name_what_was_asked_of_which_table() {
    let table = [
        (
            "AccessDeniedException",
            FaultKind::Denied,
            "allow dynamodb:Scan",
        ),
        (
            "ResourceNotFoundException",
            FaultKind::NotFound,
            "not any more",
        ),
        (
            "ProvisionedThroughputExceededException",
            FaultKind::Throttled { after: None },
            "Scan of table leases",
        ),
    ];
    for (code, kind, words) in table {
        let server = Server::start(move |_| Reply::error(400, code)).await;
        let store = store_of(&server.url, "leases", "orders of reader");
        let error = store.scan().await.expect_err("refused");
        assert_eq!(error.fault().kind, kind);
        assert!(error.to_string().contains("table leases"), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(server.operations(), ["Scan"], "nothing is asked twice");
    }
}

#[tokio::test]
async fn a_table_that_is_gone_while_running_is_said_to_be() {
    let (server, tables) = imitation(|_| None).await;
    let store = registered(&server).await;
    tables.lock().unwrap().drop_table("leases");
    let error = store.save(save(Fence(1), 1)).await.expect_err("it is gone");
    assert_eq!(error.fault().kind, FaultKind::NotFound);
    assert_eq!(
        tables.lock().unwrap().count("leases"),
        0,
        "and is not made again"
    );
}

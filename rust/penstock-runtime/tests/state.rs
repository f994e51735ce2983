//! Shows that the state survives what happens to files, and refuses what cannot be trusted.

use std::fs;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use penstock_engine::ids::{Fence, MappingId, Position, SequenceNumber, ShardId};
use penstock_engine::io::Checkpoint;
use penstock_engine::time::Wall;
use penstock_runtime::clock::{Clock, ManualClock};
use penstock_runtime::error::RuntimeError;
use penstock_runtime::ports::{CheckpointStore, LeaseStore};
use penstock_runtime::state::State;
use penstock_runtime::state::queues::QueueOptions;
use penstock_runtime::state::streams::{NewRecord, StreamLimits};
use rusqlite::Connection;
use tempfile::TempDir;

const STREAM: &str = "orders";

#[tokio::test]
async fn everything_acknowledged_is_there_after_a_restart() {
    let directory = directory();
    let first = open(directory.path()).expect("it opens");
    threaded(|| first.streams().create(STREAM, 2)).expect("created");
    put(&first, 10).await;
    let fence = save(&first, "5").await;
    close(first);
    let second = open(directory.path()).expect("it opens again");
    assert_eq!(
        second
            .streams()
            .describe(STREAM)
            .expect("it is there")
            .records,
        10
    );
    let rows = second.checkpoints(&mapping()).expect("readable");
    assert_eq!(
        (rows[0].fence, rows[0].checkpoint.position.clone()),
        (fence, after("5"))
    );
    assert!(
        save(&second, "6").await > fence,
        "fences grow across restarts"
    );
    close(second);
}

#[tokio::test]
async fn an_owner_that_dies_without_closing_loses_nothing_acknowledged() {
    let directory = directory();
    let first = open(directory.path()).expect("it opens");
    threaded(|| first.streams().create(STREAM, 1)).expect("created");
    put(&first, 7).await;
    // What a copy taken now holds is what a crash would leave: the file and its log.
    let copy = copy_of(directory.path());
    put(&first, 1).await;
    let second = open(copy.path()).expect("the copy opens");
    assert_eq!(
        second
            .streams()
            .describe(STREAM)
            .expect("it is there")
            .records,
        7
    );
    close(second);
    close(first);
}

#[tokio::test]
async fn a_torn_log_loses_its_tail_only() {
    let directory = directory();
    let first = open(directory.path()).expect("it opens");
    threaded(|| first.streams().create(STREAM, 1)).expect("created");
    put(&first, 1).await;
    let log = directory.path().join("penstock.db-wal");
    let whole = fs::metadata(&log).expect("there is a log").len();
    put(&first, 1).await;
    let copy = copy_of(directory.path());
    close(first);
    let torn = fs::OpenOptions::new()
        .write(true)
        .open(copy.path().join("penstock.db-wal"));
    torn.expect("it is there")
        .set_len(whole + 1_000)
        .expect("cut");
    let second = open(copy.path()).expect("a torn log is repaired");
    assert_eq!(
        second
            .streams()
            .describe(STREAM)
            .expect("it is there")
            .records,
        1
    );
    put(&second, 1).await;
    close(second);
}

#[test]
fn damage_is_refused_with_a_way_out_and_nothing_is_begun_anew() {
    let directory = filled();
    let file = directory.path().join("penstock.db");
    let whole = fs::read(&file).expect("readable");
    for (name, offset, bytes) in [
        ("header", 0_u64, [0_u8; 64]),
        ("schema", 100, [0xff; 64]),
        ("page", 16_384, [0xff; 64]),
    ] {
        let damaged = fs::OpenOptions::new()
            .write(true)
            .open(&file)
            .expect("writable");
        damaged.write_all_at(&bytes, offset).expect("damaged");
        let refused = open(directory.path())
            .err()
            .unwrap_or_else(|| panic!("{name} is damaged"));
        assert!(
            matches!(refused, RuntimeError::StateCorrupt { .. }),
            "{name}: {refused:?}"
        );
        assert!(refused.hint().is_some_and(|hint| hint.contains("backup")));
        let mut found = fs::read(&file).expect("readable");
        found[offset as usize..offset as usize + 64]
            .copy_from_slice(&whole[offset as usize..][..64]);
        assert_eq!(found, whole, "{name}: nothing else was touched");
        fs::write(&file, &whole).expect("put back");
    }
    open(directory.path()).expect("whole again").close();
}

#[test]
fn a_later_format_is_refused_and_left_alone() {
    let directory = filled();
    let file = directory.path().join("penstock.db");
    let edit = Connection::open(&file).expect("it opens");
    edit.execute("UPDATE meta SET value = '99' WHERE name = 'format'", [])
        .expect("edited");
    drop(edit);
    let refused = open(directory.path()).err().expect("it is too new");
    let file = file.display().to_string();
    assert_eq!(
        refused,
        RuntimeError::StateTooNew {
            file,
            found: 99,
            known: 2
        }
    );
}

#[test]
fn a_file_without_queues_gets_them_and_keeps_the_rest() {
    let directory = filled();
    let file = directory.path().join("penstock.db");
    let edit = Connection::open(&file).expect("it opens");
    edit.execute_batch(
        "UPDATE meta SET value = '1' WHERE name = 'format';
         DROP TABLE deduplications; DROP TABLE message_groups; DROP TABLE bodies;
         DROP TABLE messages; DROP TABLE queues;",
    )
    .expect("as the first version left it");
    let streams = |file: &Connection| -> Vec<String> {
        let mut query = file.prepare("SELECT name FROM streams").expect("there");
        let names = query.query_map([], |row| row.get(0)).expect("read");
        names.collect::<Result<_, _>>().expect("read")
    };
    let before = streams(&edit);
    drop(edit);
    let state = open(directory.path()).expect("it opens");
    let options = QueueOptions::default();
    state.queues().create("orders", &options).expect("created");
    state.close();
    drop(state);
    let state = open(directory.path()).expect("it opens again");
    assert_eq!(state.queues().list().expect("listed").len(), 1);
    state.close();
    assert_eq!(streams(&Connection::open(&file).expect("it opens")), before);
}

#[tokio::test]
async fn checkpoints_of_an_older_version_are_read_and_of_a_later_one_refused() {
    let directory = directory();
    let state = open(directory.path()).expect("it opens");
    save(&state, "5").await;
    state.close();
    drop(state);
    let version = |of: u32, without: &str| {
        let file = Connection::open(directory.path().join("penstock.db")).expect("it opens");
        let changed = file.execute(
            "UPDATE checkpoints SET document =
             json_set(json_remove(document, ?1), '$.version', ?2)",
            (without, of),
        );
        assert_eq!(changed, Ok(1));
    };
    version(1, "$.checkpoint.window");
    let state = open(directory.path()).expect("it opens");
    let rows = state.checkpoints(&mapping()).expect("readable");
    assert_eq!(rows[0].checkpoint.position, after("5"));
    assert_eq!(rows[0].checkpoint.window, None);
    state.close();
    drop(state);
    version(99, "$.none");
    let state = open(directory.path()).expect("it opens");
    let refused = state.checkpoints(&mapping()).expect_err("it is too new");
    assert!(refused.to_string().contains("version 99"), "{refused}");
    state.close();
}

#[test]
fn another_programs_file_is_refused() {
    let directory = directory();
    let file = directory.path().join("penstock.db");
    let other = Connection::open(&file).expect("it opens");
    other
        .execute_batch("CREATE TABLE theirs (x)")
        .expect("created");
    drop(other);
    let refused = open(directory.path()).err().expect("it is not ours");
    assert_eq!(refused.code(), "PS302");
    let other = Connection::open(&file).expect("it opens");
    assert_eq!(
        other.query_row("SELECT count(*) FROM theirs", [], |row| row.get(0)),
        Ok(0)
    );
}

#[test]
fn a_second_owner_is_refused_by_name() {
    let directory = directory();
    let first = open(directory.path()).expect("it opens");
    let refused = open(directory.path()).err().expect("it has an owner");
    let pid = std::process::id().to_string();
    assert!(matches!(&refused, RuntimeError::StateInUse { pid: owner, .. } if *owner == pid));
    first.close();
    open(directory.path()).expect("it is free").close();
}

/// The superuser may write anywhere, so that this runs again as somebody else.
#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    const CHILD: &str = "PENSTOCK_TEST_READ_ONLY";
    if let Ok(path) = std::env::var(CHILD) {
        let refused = open(Path::new(&path)).err().expect("it cannot be written");
        assert_eq!(refused.code(), "PS304", "{refused}");
        return;
    }
    let directory = directory();
    let path = directory.path().join("state");
    fs::create_dir(&path).expect("created");
    let owner = fs::metadata(&path).map(|facts| std::os::unix::fs::MetadataExt::uid(&facts));
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    child
        .args(["--exact", "a_directory_that_cannot_be_written_is_refused"])
        .env(CHILD, &path);
    if owner.expect("it is there") == 0 {
        const NOBODY: u32 = 65_534;
        std::os::unix::fs::chown(&path, Some(NOBODY), Some(NOBODY)).expect("given away");
        let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(directory.path(), open_to_all).expect("opened");
        child.uid(NOBODY).gid(NOBODY);
    }
    let read_only = std::os::unix::fs::PermissionsExt::from_mode(0o500);
    fs::set_permissions(&path, read_only).expect("closed");
    let output = child.output().expect("it runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[tokio::test]
async fn a_full_disk_fails_puts_and_nothing_else() {
    let directory = directory();
    let state = open(directory.path()).expect("it opens");
    threaded(|| state.streams().create(STREAM, 1)).expect("created");
    put(&state, 1).await;
    state.limit_pages(40);
    let mut failed = 0;
    for _ in 0..20 {
        let large = NewRecord {
            data: vec![7; 200_000],
            ..record(0)
        };
        if let Err(error) = state.streams().put_from_task(STREAM, vec![large]).await {
            assert_eq!(error.code(), "PS300", "{error}");
            failed += 1;
        }
    }
    assert!(failed > 0, "the quota is reached");
    let held = state.streams().describe(STREAM).expect("readable").records;
    assert_eq!(held, 21 - failed, "a refused put leaves nothing behind");
    state.limit_pages(1 << 20);
    put(&state, 1).await;
    assert_eq!(state.stats().failed_commits, failed);
    close(state);
}

#[tokio::test]
async fn a_commit_that_fails_is_told_and_the_file_is_opened_again() {
    let directory = directory();
    let state = open(directory.path()).expect("it opens");
    threaded(|| state.streams().create(STREAM, 1)).expect("created");
    put(&state, 3).await;
    state.fail_next_commit();
    let failed = state.streams().put_from_task(STREAM, vec![record(0)]).await;
    assert_eq!(failed.map_err(|error| error.code()), Err("PS300"));
    assert_eq!(state.stats().failed_commits, 1);
    let held = || state.streams().describe(STREAM).expect("readable").records;
    assert_eq!(held(), 3, "nothing of the failed group is there");
    put(&state, 2).await;
    assert_eq!(held(), 5);
    close(state);
    let again = open(directory.path()).expect("it opens again");
    assert_eq!(
        again.streams().describe(STREAM).expect("readable").records,
        5
    );
    close(again);
}

#[tokio::test]
async fn a_file_that_was_taken_away_takes_no_more_changes() {
    let directory = directory();
    let state = open(directory.path()).expect("it opens");
    threaded(|| state.streams().create(STREAM, 1)).expect("created");
    let (file, aside) = (
        directory.path().join("penstock.db"),
        directory.path().join("aside"),
    );
    fs::rename(&file, &aside).expect("moved");
    let refused = state.streams().put_from_task(STREAM, vec![record(0)]).await;
    let message = refused.expect_err("it would be lost").to_string();
    assert!(message.contains("removed or replaced"), "{message}");
    fs::rename(&aside, &file).expect("moved back");
    put(&state, 1).await;
    close(state);
}

#[tokio::test]
async fn a_lone_change_is_committed_at_once_and_a_crowd_shares_commits() {
    let directory = directory();
    let state = open(directory.path()).expect("it opens");
    threaded(|| state.streams().create(STREAM, 1)).expect("created");
    put(&state, 1).await;
    // A crowd that the machine holds up on its way comes one by one.
    let mut least = u64::MAX;
    for _ in 0..5 {
        let before = state.stats().commits;
        let puts = (0..200).map(|_| put(&state, 1));
        futures_util::future::join_all(puts).await;
        least = least.min(state.stats().commits - before);
    }
    assert!(least < 100, "{least} commits for 200 puts at once");
    close(state);
}

#[tokio::test]
async fn checkpoints_ride_along_but_not_for_long() {
    let directory = directory();
    let state = open(directory.path()).expect("it opens");
    let (fence, _) = state.take(mapping(), shard()).await.expect("taken");
    let before = state.stats().commits;
    // Each waits for the one before, so that none shares a commit; a disk may be slow now and then.
    let mut least = Duration::MAX;
    for number in 1..=5 {
        let (checkpoint, began) = (checkpoint(&number.to_string(), fence), Instant::now());
        let saved = state.save(mapping(), shard(), checkpoint, fence);
        saved.await.expect("saved");
        least = least.min(began.elapsed());
    }
    assert!(least < Duration::from_millis(500), "{least:?} a checkpoint");
    assert_eq!(state.stats().commits - before, 5);
    let saves = (0..50).map(|number| {
        let mapping = MappingId::new(format!("mapping-{number}"));
        let state = state.clone();
        async move {
            let (fence, _) = state.take(mapping.clone(), shard()).await.expect("taken");
            let checkpoint = checkpoint("1", fence);
            state
                .save(mapping, shard(), checkpoint, fence)
                .await
                .expect("saved");
        }
    });
    let before = state.stats().commits;
    futures_util::future::join_all(saves).await;
    assert!(
        state.stats().commits - before < 50,
        "a crowd shares commits"
    );
    close(state);
}

#[tokio::test]
async fn a_closed_state_refuses_changes_and_hangs_nobody() {
    let directory = directory();
    let state = open(directory.path()).expect("it opens");
    threaded(|| state.streams().create(STREAM, 1)).expect("created");
    state.close();
    let refused = state.streams().put_from_task(STREAM, vec![record(0)]).await;
    assert!(refused.is_err());
    state.close();
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn open(path: &Path) -> Result<Arc<State>, RuntimeError> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Wall(1_700_000_000_000)));
    State::open(Some(path), clock, StreamLimits::default())
}

/// A closed state with something in it.
fn filled() -> TempDir {
    let directory = directory();
    let state = open(directory.path()).expect("it opens");
    state.streams().create(STREAM, 4).expect("created");
    state
        .streams()
        .put(STREAM, (0..100).map(record).collect())
        .expect("put");
    state.close();
    directory
}

fn copy_of(path: &Path) -> TempDir {
    let copy = directory();
    for entry in fs::read_dir(path).expect("readable") {
        let entry = entry.expect("readable");
        // The index of the log is shared memory, which no crash leaves behind.
        if !entry.file_name().to_string_lossy().ends_with("-shm") {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copied");
        }
    }
    copy
}

fn close(state: Arc<State>) {
    threaded(|| state.close());
}

/// Calls that wait as threads do not belong on a thread of the test's own runtime.
fn threaded<T: Send>(call: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(call).join().expect("no panic"))
}

async fn put(state: &State, count: u32) {
    let records = (0..count).map(record).collect();
    state
        .streams()
        .put_from_task(STREAM, records)
        .await
        .expect("put");
}

fn record(number: u32) -> NewRecord {
    NewRecord {
        partition_key: format!("key-{number}"),
        data: vec![1; 10],
        hash_key: None,
    }
}

fn mapping() -> MappingId {
    MappingId::new("mapping")
}

fn shard() -> ShardId {
    ShardId::new("shardId-000000000000")
}

fn after(digits: &str) -> Position {
    Position::after(SequenceNumber::new(digits))
}

fn checkpoint(digits: &str, fence: Fence) -> Checkpoint {
    Checkpoint {
        fence,
        ..Checkpoint::starting_at(after(digits), None)
    }
}

async fn save(state: &State, digits: &str) -> Fence {
    let (fence, _) = state.take(mapping(), shard()).await.expect("taken");
    let saved = state.save(mapping(), shard(), checkpoint(digits, fence), fence);
    saved.await.expect("saved");
    fence
}

//! Reads cases: what stands in the JSON files of `tests/conformance`.
//!
//! Rules: the form is described in `tests/conformance/README.md`; unknown members are refused, and
//! so is a case that expects nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

/// One case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What must hold, as a sentence.
    pub name: String,
    /// What it rests on.
    pub source: String,
    /// Who can run it.
    #[serde(default = "everybody")]
    pub runners: Vec<String>,
    /// Members of the mapping's document, over those of the base.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// The source is a queue, set up so.
    #[serde(default)]
    pub queue: Option<QueueSpec>,
    /// Shards that the stream begins with.
    #[serde(default = "one")]
    pub shards: u32,
    /// Workers.
    #[serde(default = "four")]
    pub workers: usize,
    /// Records that are in the stream before the mapping starts.
    #[serde(default)]
    pub records: Vec<Put>,
    /// What the handler does.
    #[serde(default)]
    pub handler: Handler,
    /// What happens.
    #[serde(default = "start_and_settle")]
    pub steps: Vec<Step>,
    /// What must have come of it.
    #[serde(default)]
    pub expect: Option<Expect>,
    /// The document must be refused.
    #[serde(default)]
    pub refused: Option<Refusal>,
}

/// How the queue of a case is set up.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSpec {
    /// Whether it keeps order within groups.
    pub fifo: bool,
    /// How long it hides what is received.
    pub visibility_s: u64,
    /// After so many receives a message goes to the dead-letter queue, if it has one.
    pub max_receive_count: Option<u32>,
}

impl Default for QueueSpec {
    fn default() -> Self {
        Self {
            fifo: false,
            visibility_s: 30,
            max_receive_count: None,
        }
    }
}

/// Records that are put.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Put {
    /// One with the key `k`.
    Text(String),
    /// As it says.
    Full(Box<FullPut>),
}

/// A record that is put, some times over.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FullPut {
    /// The partition key.
    pub key: Option<String>,
    /// The payload.
    pub data: Option<String>,
    /// The payload in base64.
    pub base64: Option<String>,
    /// The payload is so many bytes.
    pub bytes: Option<usize>,
    /// The shard.
    pub shard: usize,
    /// How often.
    pub times: Option<usize>,
    /// It arrived so long before it is put.
    pub age_ms: u64,
    /// A change of an item instead.
    pub change: Option<Change>,
    /// A message's group.
    pub group: Option<String>,
    /// What a FIFO queue tells messages apart by.
    pub deduplication: Option<String>,
    /// From when on a message can be received.
    pub delay_s: u64,
    /// A message's attributes, as senders spell them.
    pub attributes: Map<String, Value>,
    /// The MD5 of a message's body.
    pub md5_of_body: Option<String>,
    /// The MD5 of its attributes.
    pub md5_of_attributes: Option<String>,
}

/// A change of an item.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// `INSERT`, `MODIFY` or `REMOVE`.
    pub name: String,
    /// The key attributes.
    pub keys: Value,
    /// The item afterwards.
    #[serde(default)]
    pub new: Option<Value>,
    /// The item before.
    #[serde(default)]
    pub old: Option<Value>,
    /// Who made it.
    #[serde(default)]
    pub identity: Option<Value>,
    /// What the stream shows.
    pub view: String,
    /// Bytes.
    pub size: u64,
}

/// What the handler does.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Handler {
    /// Answers of the first calls.
    pub answers: Vec<Answer>,
    /// Afterwards, what happens to batches with certain records.
    pub poison: Vec<Poison>,
    /// How long a call takes.
    pub takes_ms: u64,
    /// Whether `ok` and `report` add the records that succeed to the state of the window.
    pub aggregates: bool,
}

/// What happens to batches that hold one of these records.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Poison {
    /// The records.
    pub records: Vec<usize>,
    /// What happens.
    pub answer: Answer,
    /// To how many such batches; all of them unless said.
    #[serde(default)]
    pub times: Option<usize>,
}

/// How a call ends.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It returns nothing.
    Ok,
    /// It raises.
    Raise,
    /// It runs out of time.
    Timeout,
    /// Its worker dies.
    Crash,
    /// It never starts.
    Throttle,
    /// It returns this.
    Return(Value),
    /// It reports those of these records that are in the batch.
    Report(Vec<usize>),
    /// It returns a state of so many bytes.
    StateBytes(usize),
}

/// Something that happens.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// The mapping starts, with these changes to its document.
    Start(Map<String, Value>),
    /// Time passes until nothing is left to do.
    Settle,
    /// Time passes.
    WaitMs(u64),
    /// Records come.
    Put(Vec<Put>),
    /// A shard splits.
    Split(usize),
    /// Two shards merge.
    Merge([usize; 2]),
    /// The mapping is paused.
    Pause,
    /// The mapping goes on.
    Resume,
    /// The mapping gets other options.
    Update(Map<String, Value>),
    /// The mapping drains within this time.
    DrainMs(u64),
    /// The mapping stops at once.
    Stop,
    /// The process dies.
    Crash,
    /// Requests fail.
    Fail(Fail),
    /// A shard loses its first records to retention.
    Trim(Trim),
    /// A shard leaves the listing.
    Hide(usize),
    /// Somebody else takes a shard.
    Steal(usize),
    /// Somebody else gives a shard back.
    GiveBack(usize),
    /// The wall clock jumps.
    JumpMs(i64),
    /// What must hold by now.
    Expect(Box<Expect>),
}

/// Requests that fail.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fail {
    /// Of which kind.
    pub request: String,
    /// How.
    pub fault: String,
    /// How many of them.
    #[serde(default = "one_time")]
    pub times: usize,
    /// What a throttle asks for.
    #[serde(default)]
    pub after_ms: Option<u64>,
    /// Whether the deed was done all the same.
    #[serde(default)]
    pub done: bool,
}

/// A shard and how many of its records go.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trim {
    /// The shard.
    pub shard: usize,
    /// How many.
    pub count: usize,
}

/// What must have come of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// All calls, in order.
    pub calls: Option<Vec<String>>,
    /// All calls, in any order.
    pub calls_any_order: Option<Vec<String>>,
    /// The first call ends before the second begins.
    pub order: Vec<[String; 2]>,
    /// The two calls run at the same time.
    pub together: Vec<[String; 2]>,
    /// What is saved, by shard.
    pub checkpoints: BTreeMap<usize, String>,
    /// All documents, by their first records.
    pub documents: Option<Vec<Document>>,
    /// Counters.
    pub counters: BTreeMap<String, u64>,
    /// `LastProcessingResult`.
    pub result: Option<String>,
    /// Whole events, by the number of their calls.
    pub events: BTreeMap<usize, Value>,
    /// Notices that people got.
    pub notices: Vec<String>,
    /// Why shards and lanes do not move.
    pub stalls: BTreeMap<String, String>,
    /// Whether the last drain ended in time.
    pub drained: Option<bool>,
    /// Messages that were deleted from the queue.
    pub deleted: Option<String>,
    /// Messages in the dead-letter queue.
    pub dead: Option<String>,
    /// Messages that are still in the queue.
    pub left: Option<String>,
    /// Those of them that can be received now.
    pub visible: Option<String>,
    /// How often a message had been received when a handler last saw it.
    pub received: BTreeMap<usize, u32>,
    /// The most calls that ran at the same time.
    pub at_once: Option<usize>,
    /// Of every call, a record whose arrival lies in its window, and the state that it got.
    pub windows: Option<Vec<(usize, Value)>>,
    /// The state that is saved, by shard; null where no window is open.
    pub states: BTreeMap<usize, Value>,
}

/// What must stand in a document.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The first and the last record; none in the document of a final call.
    #[serde(default)]
    pub records: Option<[usize; 2]>,
    /// How many.
    #[serde(default)]
    pub size: u32,
    /// Why.
    pub condition: String,
    /// Attempts.
    pub count: u32,
    /// `Unhandled`, null, or nothing when there is no response.
    #[serde(default, deserialize_with = "given")]
    pub error: Option<Option<String>>,
    /// The call whose request it names, from 1; none when there was none.
    #[serde(default)]
    pub call: Option<usize>,
    /// Whether it carries the event of its records.
    #[serde(default)]
    pub payload: bool,
    /// The call whose window it names, from 1; none without windows.
    #[serde(default)]
    pub window: Option<usize>,
}

/// How a document is refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The member.
    pub path: String,
    /// The sentence.
    pub message: String,
}

/// The cases of all features, by folder.
pub fn read_all() -> BTreeMap<String, Vec<Case>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance");
    let mut features: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for folder in sorted(&root).into_iter().filter(|path| path.is_dir()) {
        let feature = folder.file_name().unwrap().to_string_lossy().into_owned();
        for file in sorted(&folder) {
            let text = fs::read_to_string(&file).unwrap();
            let case: Case = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            check(&file, &case);
            features.entry(feature.clone()).or_default().push(case);
        }
    }
    features
}

fn check(file: &Path, case: &Case) {
    let file = file.display();
    assert!(!case.source.is_empty(), "{file} names no source");
    assert!(
        case.refused.is_some() != case.expect.is_some(),
        "{file} must expect something, or a refusal"
    );
    let final_calls = case.expect.as_ref();
    let some = final_calls.is_none_or(|e| e.calls.is_some() || e.calls_any_order.is_some());
    assert!(some, "{file} does not say what is called");
    for runner in &case.runners {
        assert!(
            ["engine", "python"].contains(&runner.as_str()),
            "{file}: {runner}"
        );
    }
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.retain(|path| path.is_dir() || path.extension().is_some_and(|end| end == "json"));
    found.sort();
    found
}

fn given<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(input).map(Some)
}

fn everybody() -> Vec<String> {
    vec!["engine".to_owned(), "python".to_owned()]
}

fn one() -> u32 {
    1
}

fn one_time() -> usize {
    1
}

fn four() -> usize {
    4
}

fn start_and_settle() -> Vec<Step> {
    vec![Step::Start(Map::new()), Step::Settle]
}

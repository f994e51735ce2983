//! Holds the two parsers to each other and to what Kinesis and its imitations answer.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use penstock_engine::record::{Page, RecordFacts, RecordView};
use penstock_engine::time::Wall;
use penstock_runtime::ports::Parts;

use super::*;
use crate::client::Taker;

/// An answer's records as values that compare.
type Flat = Vec<(String, String, String, Wall, RecordFacts)>;

fn flat(text: &str, parsed: Parsed) -> (Flat, Option<String>, Option<u64>, Vec<ShardInfo>) {
    let page = SlicePage::new(text.to_owned(), parsed.side, parsed.records).expect("good slices");
    (
        values(&page),
        parsed.next_iterator,
        parsed.behind_ms,
        parsed.children,
    )
}

fn values(page: &dyn Page) -> Flat {
    let records = (0..page.facts().len()).map(|index| {
        let RecordView::Kinesis {
            partition_key,
            sequence_number,
            data,
            arrival,
        } = page.view(index)
        else {
            panic!("a stream's records are of Kinesis")
        };
        let facts = page.facts()[index];
        (
            partition_key.to_owned(),
            sequence_number.to_owned(),
            data.to_owned(),
            arrival,
            facts,
        )
    });
    records.collect()
}

/// Both parsers on one text: what the scanner takes, the other must read the same.
fn agree(text: &str) -> bool {
    let Some(scanned) = fast::scan(text) else {
        return false;
    };
    let full = full::parse(text).unwrap_or_else(|error| panic!("only one reads {text}: {error}"));
    assert_eq!(flat(text, scanned), flat(text, full), "{text}");
    true
}

fn record(number: u32, arrival: &str) -> String {
    format!(
        r#"{{"ApproximateArrivalTimestamp":{arrival},"Data":"aGVsbG8=",{}}}"#,
        format_args!(r#""PartitionKey":"key-{number}","SequenceNumber":"4959033827{number:07}""#),
    )
}

fn answer(records: &[String], rest: &str) -> String {
    format!(
        r#"{{"MillisBehindLatest":0,"Records":[{}]{rest}}}"#,
        records.join(",")
    )
}

const NEXT: &str = r#","NextShardIterator":"AAAA+/==""#;

#[test]
fn usual_answers_are_scanned() {
    let one = record(1, "1545084650.987");
    for text in [
        answer(&[], NEXT),
        answer(&[], r#","NextShardIterator":null"#),
        answer(&[], ""),
        answer(&[one.clone(), record(2, "1.545084650987E9")], NEXT),
        answer(&[one.replace("key-1", "clé")], NEXT),
        answer(&[one.replace("aGVsbG8=", "")], NEXT),
        answer(
            &[one.replace(r#""Data""#, r#""EncryptionType":"KMS","Data""#)],
            NEXT,
        ),
        format!(r#"{{"NextShardIterator":"a","Records":[{one}],"MillisBehindLatest":86400000}}"#),
        format!(r#"{{"Records":[{one}]}}"#),
    ] {
        assert!(agree(&text), "{text}");
    }
}

#[test]
fn unusual_answers_go_to_the_full_parser() {
    let one = record(1, "1545084650.987");
    for text in [
        answer(std::slice::from_ref(&one), NEXT).replace(',', ", "),
        answer(&[one.replace("key-1", r"cl\u00e9")], NEXT),
        answer(&[one.replace("aGVsbG8=", r"aGVsbG8\u003d")], NEXT),
        answer(&[one.replace("key-1", r#"\"quoted\""#)], NEXT),
        answer(
            &[one.replace(r#""Data""#, r#""Later":{"a":[1]},"Data""#)],
            NEXT,
        ),
        answer(&[one.replace("650.987", "650.98765")], NEXT),
        answer(&[one], r#","NextShardIterator":null,"ChildShards":[]"#),
        "{\n\"Records\": []\n}".to_owned(),
        r#"{"Records":[],"MillisBehindLatest":null}"#.to_owned(),
    ] {
        assert!(!agree(&text), "{text}");
        assert!(full::parse(&text).is_ok(), "{text}");
    }
}

#[test]
fn escaped_members_are_unescaped() {
    let key = r#"a\"\\\u00e9\ud83d\ude00"#;
    let text = answer(
        &[record(1, "1").replace("key-1", key), record(2, "2")],
        NEXT,
    );
    let records = read(text.into_bytes()).unwrap();
    let page = records.page.unwrap();
    let RecordView::Kinesis { partition_key, .. } = page.view(0) else {
        panic!("a stream's records are of Kinesis")
    };
    assert_eq!(partition_key, "a\"\\é😀");
    let RecordView::Kinesis {
        partition_key,
        data,
        arrival,
        ..
    } = page.view(1)
    else {
        panic!("a stream's records are of Kinesis")
    };
    assert_eq!(
        (partition_key, data, arrival),
        ("key-2", "aGVsbG8=", Wall(2000))
    );
}

#[test]
fn arrivals_are_read_to_the_millisecond() {
    let table = [
        ("1545084650.987", 1_545_084_650_987),
        ("1545084650.98", 1_545_084_650_980),
        ("1545084650.9", 1_545_084_650_900),
        ("1545084650.900000", 1_545_084_650_900),
        ("1545084650", 1_545_084_650_000),
        ("1.545084650987E9", 1_545_084_650_987),
        ("1.545084650987e+9", 1_545_084_650_987),
        ("1.5E9", 1_500_000_000_000),
        ("1545084650987.0E-3", 1_545_084_650_987),
        ("1545084650.9876", 1_545_084_650_988),
        ("0", 0),
        ("0.001", 1),
    ];
    for (text, expected) in table {
        let text = answer(&[record(1, text)], NEXT);
        agree(&text);
        let records = read(text.clone().into_bytes()).unwrap();
        assert_eq!(
            records.page.unwrap().facts()[0].arrival,
            Wall(expected),
            "{text}"
        );
    }
}

#[test]
fn answers_that_are_none_are_refused_without_showing_them() {
    let one = record(1, "1545084650.987");
    let table = [
        (String::new(), "it ends too early"),
        ("<html>".to_owned(), "it is not JSON"),
        ("{}".to_owned(), "a member has a wrong type or is missing"),
        ("[]".to_owned(), "a member has a wrong type or is missing"),
        (answer(&[], NEXT)[..30].to_owned(), "it ends too early"),
        (
            answer(&[one.replace("aGVsbG8=", "secret!!")], NEXT),
            "its data is not base64",
        ),
        (
            answer(&[one.replace("aGVsbG8=", "aGVsb")], NEXT),
            "its data is not base64",
        ),
        (
            answer(&[one.replace("aGVsbG8=", r#"aG\"sbG8="#)], NEXT),
            "its data is not base64",
        ),
        (
            answer(&[one.replace("4959", "-959")], NEXT),
            "its sequence number is not one",
        ),
        (
            answer(&[one.replace("4959", "0959")], NEXT),
            "its sequence number is not one",
        ),
        (
            answer(&[record(1, "-1")], NEXT),
            "its arrival is not a time",
        ),
        (
            answer(&[record(1, "1e300")], NEXT),
            "its arrival is not a time",
        ),
        (
            answer(&[record(1, "\"secret!!\"")], NEXT),
            "a member has a wrong type or is missing",
        ),
        (
            answer(&[one.replace("Data", "Date")], NEXT),
            "a member has a wrong type or is missing",
        ),
        (answer(&[one], NEXT) + "x", "it is not JSON"),
    ];
    for (text, expected) in table {
        assert!(!agree(&text));
        let error = read(text.clone().into_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    assert_eq!(read(vec![0xff]).unwrap_err().to_string(), "it is not UTF-8");
}

#[test]
fn the_end_of_a_shard_names_its_children() {
    let range = r#""HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"}"#;
    let children =
        format!(r#"[{{"ShardId":"c","ParentShards":["a","b"],{range}}},{{"ShardId":"d"}}]"#);
    let rest = format!(r#","NextShardIterator":null,"ChildShards":{children}"#);
    let records = read(answer(&[], &rest).into_bytes()).unwrap();
    assert_eq!(records.next_iterator, None);
    assert!(records.page.is_none());
    let parents = ["a".to_owned(), "b".to_owned()];
    assert_eq!(records.children, [child("c", parents), child("d", [])]);
}

/// Damages good answers at random for a while, always from the same seed: for a second, or for
/// `PENSTOCK_FUZZ_SECONDS`, and then without a bound on how many.
#[test]
fn damaged_answers_are_read_alike_or_not_at_all() {
    let times = ["1545084650.987", "1.545084650987E9", "1545084650", "0.5"];
    let good: Vec<String> = (0..6)
        .map(|count| {
            let records = (0..count).map(|n| record(n, times[n as usize % times.len()]));
            answer(&records.collect::<Vec<_>>(), NEXT)
        })
        .collect();
    let spare: &[u8] = b"\"\\{}[],:0123456789.eE+-= azAZ/nul\n\x01\xc3\xa9";
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let asked = std::env::var("PENSTOCK_FUZZ_SECONDS").ok();
    let seconds = asked.map(|text| text.parse().expect("PENSTOCK_FUZZ_SECONDS is a number"));
    let most = if seconds.is_some() { u32::MAX } else { 200_000 };
    let span = Duration::from_secs(seconds.unwrap_or(1));
    let start = Instant::now();
    let (mut taken, mut tried) = (0, 0);
    while tried < most && start.elapsed() < span {
        let mut bytes = good[random.below(good.len())].clone().into_bytes();
        while bytes.len() > 1 && random.below(3) > 0 {
            let at = random.below(bytes.len());
            let byte = spare[random.below(spare.len())];
            match random.below(5) {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                3 => {
                    let end = (at + random.below(40)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    let to = random.below(bytes.len());
                    bytes.splice(to..to, piece);
                }
                _ => bytes.truncate(at.max(1)),
            }
        }
        tried += 1;
        in_parts_as_whole(&bytes, &mut random);
        if let Ok(text) = String::from_utf8(bytes) {
            taken += u32::from(agree(&text));
        }
    }
    assert!(
        taken > tried / 100,
        "damage must leave some answers readable: {taken} of {tried}"
    );
}

#[test]
fn answers_that_arrive_in_pieces_are_read_alike() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let records: Vec<_> = (0..300).map(|n| record(n, "1545084650.987")).collect();
    let mut whole = answer(&records, NEXT);
    in_parts_as_whole(whole.as_bytes(), &mut random);
    // The members in the order of the service's own answers, and one record that is unusual.
    whole = format!(
        r#"{{"NextShardIterator":"a","Records":[{}]}}"#,
        records.join(",")
    );
    in_parts_as_whole(whole.as_bytes(), &mut random);
    let parts = in_parts_as_whole(
        whole.replacen("key-200", r"cl\u00e9", 1).as_bytes(),
        &mut random,
    );
    assert!((1..300).contains(&parts), "{parts}");
    let long = "QUJD".repeat(5_000);
    let large = whole.replacen("aGVsbG8=", &long, 3);
    in_parts_as_whole(large.as_bytes(), &mut random);
    let cut = &whole.as_bytes()[..whole.len() * 2 / 3];
    assert!(
        in_parts_as_whole(cut, &mut random) > 100,
        "what came before the end stays"
    );
    let bad = whole.replacen("key-299", "\u{1}", 1);
    in_parts_as_whole(bad.as_bytes(), &mut random);
}

/// An answer in random pieces gives the records of the whole one, or is refused as it is; gives
/// how many records came before its end.
fn in_parts_as_whole(bytes: &[u8], random: &mut Random) -> usize {
    let pages = Arc::new(Mutex::new(Vec::new()));
    let taker = Arc::clone(&pages);
    let parts = Parts::to(move |page| taker.lock().unwrap().push(page));
    let mut intake = Intake::with_pages_of(150 + random.below(600), parts);
    // Small pieces are copied, large ones shared.
    intake.shared_from(100 + random.below(400));
    intake.announce(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(1 + random.below(rest.len()));
        intake.take(Bytes::copy_from_slice(piece));
        rest = later;
    }
    let end = intake.finish();
    let mut pages = std::mem::take(&mut *pages.lock().unwrap());
    let early = pages.iter().map(|page| page.facts().len()).sum();
    let text = String::from_utf8_lossy(bytes);
    match (read(bytes.to_vec()), end) {
        (Ok(whole), Ok(end)) => {
            pages.extend(end.page.map(|page| Arc::new(page) as Arc<dyn Page>));
            let found = pages
                .iter()
                .flat_map(|page| values(page.as_ref()))
                .collect::<Flat>();
            let all = whole
                .page
                .iter()
                .flat_map(|page| values(page))
                .collect::<Flat>();
            assert_eq!(found, all, "{text}");
            assert_eq!(end.next_iterator, whole.next_iterator, "{text}");
            assert_eq!(end.behind_ms, whole.behind_ms, "{text}");
            assert_eq!(end.children, whole.children, "{text}");
        }
        (Err(_), Err(_)) => {}
        (whole, end) => panic!("whole {whole:?}, in parts {end:?}: {text}"),
    }
    early
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("below a usize")
    }
}

#[test]
fn base64_is_its_letters_in_fours_with_padding_at_the_end() {
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for byte in 0..=255 {
        let good = letters.as_bytes().contains(&byte);
        for place in [0, 5, 37, 255, 395, 397] {
            for length in [40, 400].into_iter().filter(|&length| place < length) {
                let mut text = vec![b'A'; length];
                text[place] = byte;
                assert_eq!(
                    super::is_base64(&text),
                    good,
                    "{byte} at {place} of {length}"
                );
            }
        }
    }
    for (text, good) in [
        ("", true),
        ("YQ==", true),
        ("YWI=", true),
        ("YWI", false),
        ("Y===", false),
    ] {
        assert_eq!(super::is_base64(text.as_bytes()), good, "{text}");
        let long = "A".repeat(400) + text;
        assert_eq!(super::is_base64(long.as_bytes()), good, "{long}");
    }
}

//! Holds the two parsers to each other and to what DynamoDB and its imitations answer.

use std::time::{Duration, Instant};

use penstock_engine::record::{ItemView, Page, RecordFacts, RecordView};

use super::*;

/// A record as values that compare.
type Flat = (Vec<Option<String>>, u64, Wall, RecordFacts);

fn view(page: &ChangePage, index: usize) -> ItemView<'_> {
    let RecordView::DynamoDb(view) = page.view(index) else {
        panic!("a table's records are changes of items")
    };
    view
}

fn flat(text: &str, parsed: Parsed) -> (Vec<Flat>, Option<String>) {
    let page = ChangePage::new(text.to_owned(), parsed.side, parsed.changes).expect("good slices");
    let records = (0..page.facts().len()).map(|index| {
        let view = view(&page, index);
        let texts = [
            Some(view.event_id),
            Some(view.event_name),
            view.user_identity,
            Some(view.keys),
            view.new_image,
            view.old_image,
            Some(view.sequence_number),
            Some(view.view_type),
        ];
        let texts = texts.map(|text| text.map(str::to_owned)).to_vec();
        (texts, view.size_bytes, view.created, page.facts()[index])
    });
    (records.collect(), parsed.next_iterator)
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

const NEXT: &str = r#","NextShardIterator":"arn:aws:dynamodb:…|1|AAAA+/==""#;

fn record(number: u32) -> String {
    let image = r#"{"id":{"S":"a \"quoted\" name"},"n":{"L":[{"N":"1.5"},{"NULL":true}]}}"#;
    format!(
        concat!(
            r#"{{"awsRegion":"us-east-1","dynamodb":{{"ApproximateCreationDateTime":1.47949974E9,"#,
            r#""Keys":{{"id":{{"S":"key-{0}"}}}},"NewImage":{1},"#,
            r#""SequenceNumber":"442158450000000001745043{0:04}","SizeBytes":26,"#,
            r#""StreamViewType":"NEW_IMAGE"}},"eventID":"c4ca4238a0b923820dcc509a6f75849b","#,
            r#""eventName":"INSERT","eventSource":"aws:dynamodb","eventVersion":"1.1"}}"#,
        ),
        number, image
    )
}

fn expired() -> String {
    let identity = r#""userIdentity":{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}"#;
    record(7)
        .replace("INSERT", "REMOVE")
        .replace("NewImage", "OldImage")
        .replace(
            r#""eventVersion":"1.1""#,
            &format!(r#""eventVersion":"1.1",{identity}"#),
        )
}

fn answer(records: &[String], rest: &str) -> String {
    format!(r#"{{"Records":[{}]{rest}}}"#, records.join(","))
}

#[test]
fn usual_answers_are_scanned() {
    for text in [
        answer(&[], NEXT),
        answer(&[], ""),
        answer(&[], r#","NextShardIterator":null"#),
        answer(&[record(1), record(2), expired()], NEXT),
        answer(&[record(1).replace("name", "näme 🦀")], NEXT),
        answer(&[record(1).replace("4421", "0000")], NEXT),
        answer(&[record(1).replace("1.47949974E9", "1479499740")], NEXT),
        answer(&[record(1).replace(r#""SizeBytes":26,"#, "")], NEXT),
        format!(r#"{{"NextShardIterator":"a","Records":[{}]}}"#, record(1)),
    ] {
        assert!(agree(&text), "{text}");
    }
}

#[test]
fn unusual_answers_go_to_the_full_parser() {
    for text in [
        answer(&[record(1)], NEXT).replace(':', ": "),
        answer(&[record(1).replace("name", r"n\u00e4me")], NEXT),
        answer(&[record(1).replace("name", r"a\/b")], NEXT),
        answer(&[record(1).replace(r#"{"N":"1.5"}"#, "1.5")], NEXT),
        answer(
            &[record(1).replace(r#""SizeBytes""#, r#""Later":{"a":[1]},"SizeBytes""#)],
            NEXT,
        ),
        answer(&[record(1).replace("INSERT", r"IN\u0053ERT")], NEXT),
        answer(
            &[record(1).replace("1.47949974E9", "1.4794997405004E9")],
            NEXT,
        ),
        "{\n\"Records\": []\n}".to_owned(),
    ] {
        assert!(!agree(&text), "{text}");
        assert!(full::parse(&text).is_ok(), "{text}");
    }
}

#[test]
fn items_are_kept_as_they_came_or_written_as_events_show_them() {
    let image = r#"{"id":{"S":"a \"quoted\" näme"},"n":{"L":[{"N":"1.5"},{"NULL":true}]}}"#;
    let spaced = answer(
        &[record(1).replace("name", r"n\u00e4me").replace(':', " : ")],
        NEXT,
    );
    for text in [answer(&[record(1).replace("name", "näme")], NEXT), spaced] {
        let page = read(text.into_bytes()).unwrap().page.unwrap();
        let view = view(&page, 0);
        assert_eq!(
            (view.keys, view.new_image),
            (r#"{"id":{"S":"key-1"}}"#, Some(image))
        );
        assert_eq!((view.event_name, view.size_bytes), ("INSERT", 26));
        assert_eq!(view.created, Wall(1_479_499_740_000));
        assert_eq!((view.old_image, view.user_identity), (None, None));
    }
}

#[test]
fn who_made_a_change_is_named_as_in_events() {
    let page = read(answer(&[expired()], NEXT).into_bytes())
        .unwrap()
        .page
        .unwrap();
    let expected = r#"{"type":"Service","principalId":"dynamodb.amazonaws.com"}"#;
    assert_eq!(view(&page, 0).user_identity, Some(expected));
    let nobody = expired().replace(
        r#"{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}"#,
        "null",
    );
    let page = read(answer(&[nobody], NEXT).into_bytes())
        .unwrap()
        .page
        .unwrap();
    assert_eq!(view(&page, 0).user_identity, None);
}

#[test]
fn times_are_cut_to_the_second() {
    for (text, expected) in [
        ("1479499740.999", 1_479_499_740_000),
        ("0.5", 0),
        ("7", 7_000),
    ] {
        let text = answer(&[record(1).replace("1.47949974E9", text)], NEXT);
        assert!(agree(&text));
        let page = read(text.into_bytes()).unwrap().page.unwrap();
        assert_eq!(page.facts()[0].arrival, Wall(expected));
    }
}

#[test]
fn records_of_an_item_have_one_hash_however_they_are_written() {
    let two = r#"{"id":{"S":"é"},"at":{"N":"1"}}"#;
    let keys = [
        two,
        r#"{"at":{"N":"1"},"id":{"S":"é"}}"#,
        r#"{"id": {"S":"\u00e9"},"at":{"N":"1"}}"#,
    ];
    let records = keys.map(|keys| record(1).replace(r#"{"id":{"S":"key-1"}}"#, keys));
    let hashes = records.map(|record| {
        let page = read(answer(&[record], NEXT).into_bytes())
            .unwrap()
            .page
            .unwrap();
        page.facts()[0].key_hash
    });
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

#[test]
fn answers_that_are_none_are_refused_without_showing_them() {
    let deep = format!("{}{}", r#"{"secret":["#.repeat(60), "]}".repeat(60));
    let missing = "a member has a wrong type or is missing";
    let table = [
        (String::new(), "it ends too early"),
        ("<html>".to_owned(), "it is not JSON"),
        ("{}".to_owned(), missing),
        (answer(&[], NEXT)[..20].to_owned(), "it ends too early"),
        (answer(&[record(1).replace("Keys", "Kyes")], NEXT), missing),
        (
            answer(&[record(1).replace("StreamView", "View")], NEXT),
            missing,
        ),
        (
            answer(
                &[record(1).replace(r#"{"id":{"S":"key-1"}}"#, "\"secret\"")],
                NEXT,
            ),
            missing,
        ),
        (
            answer(&[record(1).replace(r#"{"id":{"S":"key-1"}}"#, &deep)], NEXT),
            missing,
        ),
        (
            answer(&[record(1).replace("4421", "x421")], NEXT),
            "its sequence number is not one",
        ),
        (
            answer(&[record(1).replace("1.47949974E9", "-1")], NEXT),
            "its time is not one",
        ),
        (
            answer(&[record(1).replace("INSERT", "")], NEXT),
            "its id, kind of change or view type",
        ),
        (answer(&[record(1)], NEXT) + "x", "it is not JSON"),
    ];
    for (text, expected) in table {
        assert!(!agree(&text));
        let error = read(text.clone().into_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

/// Damages good answers at random for a while, always from the same seed.
#[test]
fn damaged_answers_are_read_alike_or_not_at_all() {
    let good: Vec<String> = (0..5)
        .map(|count| {
            let mut records: Vec<String> = (0..count).map(record).collect();
            records.extend((count % 2 == 1).then(expired));
            answer(&records, NEXT)
        })
        .collect();
    let spare: &[u8] = b"\"\\{}[],:0123456789.eE+-= aunrtfS/l\n\x01\xc3\xa9";
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let start = Instant::now();
    let (mut taken, mut tried) = (0, 0);
    while tried < 200_000 && start.elapsed() < Duration::from_secs(1) {
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
        if let Ok(text) = String::from_utf8(bytes) {
            taken += u32::from(agree(&text));
        }
    }
    assert!(
        taken > tried / 100,
        "damage must leave some readable: {taken} of {tried}"
    );
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

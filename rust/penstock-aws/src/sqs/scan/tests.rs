//! Holds the two parsers to each other and to what SQS and its imitations answer.

use std::time::{Duration, Instant};

use penstock_engine::record::{MessageView, Page, RecordFacts, RecordView};

use super::*;

const NOW: Wall = Wall(77);

fn view(page: &MessagePage, index: usize) -> MessageView<'_> {
    match page.view(index) {
        RecordView::Sqs(message) => message,
        other => panic!("a queue's records are messages, not {other:?}"),
    }
}

/// An answer's messages as values that compare.
fn flat(text: &str, parsed: Parsed) -> Vec<(String, RecordFacts)> {
    let page = MessagePage::new(text.to_owned(), parsed.side, parsed.messages);
    let page = page.expect("good slices");
    let all = (0..page.facts().len())
        .map(|index| (format!("{:?}", view(&page, index)), page.facts()[index]));
    all.collect()
}

/// Both parsers on one text: what the scanner takes, the other must read the same.
fn agree(text: &str) -> bool {
    let Some(scanned) = fast::scan(text, NOW) else {
        return false;
    };
    let full = full::parse(text, NOW);
    let full = full.unwrap_or_else(|error| panic!("only one reads {text}: {error}"));
    assert_eq!(flat(text, scanned), flat(text, full), "{text}");
    true
}

const MD5: &str = "e4e68fb7bd0e697a0ae8f1bb342846b3";
const SYSTEM: &str = concat!(
    r#""SenderId":"AIDA","ApproximateFirstReceiveTimestamp":"1545082649185","#,
    r#""ApproximateReceiveCount":"2","SentTimestamp":"1545082649183""#
);
const FIFO: &str = r#""SequenceNumber":"188","MessageDeduplicationId":"d","MessageGroupId":"g""#;
const ATTRIBUTES: &str = concat!(
    r#""MD5OfMessageAttributes":"d25a6aea97eb8f585bfa92d314504a92","MessageAttributes":{"#,
    r#""Title":{"DataType":"String","StringValue":"The Whistler"},"#,
    r#""Author":{"StringValue":"John Grisham","DataType":"String"},"#,
    r#""WeeksOn":{"DataType":"Number","StringValue":"6"}}"#
);

fn message(number: u32, system: &str, body: &str, rest: &str) -> String {
    let named = format!(r#""MessageId":"id-{number}","ReceiptHandle":"AQEB+/{number}""#);
    let told = format!(r#""Attributes":{{{system}}},"Body":"{body}","MD5OfBody":"{MD5}""#);
    format!("{{{told},{named}{rest}}}")
}

fn answer(messages: &[String]) -> String {
    format!(r#"{{"Messages":[{}]}}"#, messages.join(","))
}

fn one(system: &str, body: &str, rest: &str) -> String {
    answer(&[message(1, system, body, rest)])
}

fn read_one(text: &str) -> MessagePage {
    let page = read(text.as_bytes().to_vec(), NOW).expect("an answer");
    page.expect("has a message")
}

#[test]
fn usual_answers_are_scanned() {
    let fifo = format!("{SYSTEM},{FIFO}");
    for text in [
        "{}".to_owned(),
        answer(&[]),
        one(SYSTEM, "plain", ""),
        one(SYSTEM, r#"{\"a\":\"b\\\\c\\/\",\"n\":[1]}"#, ""),
        one(SYSTEM, r"\u00e9 \ud83d\ude00 \b\f\n\r\t\/", ""),
        one(SYSTEM, "é 😀", ""),
        one(SYSTEM, "", ""),
        one(&fifo, "b", ""),
        one(&fifo.replace(r#""g""#, r#""g\"\u0041""#), "b", ""),
        one(
            &format!(r#"{SYSTEM},"AWSTraceHeader":"Root=1","Later":"\\x""#),
            "b",
            "",
        ),
        one(SYSTEM, "b", &format!(",{ATTRIBUTES}")),
        one(
            SYSTEM,
            "b",
            &format!(",{ATTRIBUTES}").replace("John", r"J\u006f\nhn"),
        ),
        one(
            SYSTEM,
            "b",
            &format!(",{ATTRIBUTES}").replace(
                r#""Number","StringValue":"6""#,
                r#""Binary","BinaryValue":"MTEwMA==""#,
            ),
        ),
        answer(
            &(0..10)
                .map(|n| message(n, &fifo, "b", ""))
                .collect::<Vec<_>>(),
        ),
    ] {
        assert!(agree(&text), "{text}");
    }
}

#[test]
fn unusual_answers_go_to_the_full_parser() {
    let good = one(SYSTEM, "b", "");
    for text in [
        good.replace(',', ", "),
        good.replace(r#""Body""#, r#""B\u006fdy""#),
        good.replace(r#""Body""#, r#""Later":{"Body":"x"},"Body""#),
        good.replace(&format!(r#","MD5OfBody":"{MD5}""#), ""),
        good.replace(r#""ApproximateReceiveCount":"2","#, ""),
        good.replace(&format!("{{{SYSTEM}}}"), "{}"),
        good.replace("\"id-1\"", r#""id\u002d1""#),
        one(SYSTEM, "b", r#","MessageAttributes":null"#),
        one(SYSTEM, "b", r#","MessageAttributes":{}"#),
        one(
            SYSTEM,
            "b",
            &ATTRIBUTES.replacen(
                r#""MD5OfMessageAttributes":"d25a6aea97eb8f585bfa92d314504a92""#,
                "",
                1,
            ),
        ),
        r#"{"Messages":null}"#.to_owned(),
        "{ }".to_owned(),
    ] {
        assert!(!agree(&text), "{text}");
        assert!(full::parse(&text, NOW).is_ok(), "{text}");
    }
}

#[test]
fn a_message_has_the_form_of_the_event() {
    let rare = r#""DeadLetterQueueSourceArn":"arn","AWSTraceHeader":"Root=1""#;
    let system = format!("{rare},{SYSTEM},{FIFO}");
    let text = one(&system, r#"{\"a\":1}"#, &format!(",{ATTRIBUTES}"));
    assert!(agree(&text));
    let page = read_one(&text);
    let message = view(&page, 0);
    assert_eq!(
        (message.message_id, message.receipt_handle),
        ("id-1", "AQEB+/1")
    );
    assert_eq!(message.body, r#"{"a":1}"#);
    assert_eq!((message.group, message.receive_count), (Some("g"), 2));
    assert_eq!(page.facts()[0].arrival, Wall(1_545_082_649_183));
    let names: Vec<&str> = message.attributes.split('"').skip(1).step_by(4).collect();
    assert_eq!(names, attributes::ORDER);
    assert_eq!(
        message.message_attributes,
        concat!(
            r#"{"Title":{"stringValue":"The Whistler","stringListValues":[],"#,
            r#""binaryListValues":[],"dataType":"String"},"#,
            r#""Author":{"stringValue":"John Grisham","stringListValues":[],"#,
            r#""binaryListValues":[],"dataType":"String"},"WeeksOn":{"stringValue":"6","#,
            r#""stringListValues":[],"binaryListValues":[],"dataType":"Number"}}"#
        )
    );
    let md5 = Some("d25a6aea97eb8f585bfa92d314504a92");
    assert_eq!(message.md5_of_message_attributes, md5);
}

#[test]
fn what_an_answer_leaves_out_is_computed() {
    let bare = r#"{"Messages":[{"MessageId":"m","ReceiptHandle":"r","Body":"Test message.",
        "MessageAttributes":{"WeeksOn":{"DataType":"Number","StringValue":"6"},
        "Title":{"DataType":"String","StringValue":"The Whistler"},
        "Author":{"DataType":"String","StringValue":"John Grisham"}}}]}"#;
    let page = read_one(bare);
    let message = view(&page, 0);
    assert_eq!(message.md5_of_body, MD5);
    let md5 = Some("d25a6aea97eb8f585bfa92d314504a92");
    assert_eq!(message.md5_of_message_attributes, md5);
    assert_eq!((message.attributes, message.receive_count), ("{}", 1));
    assert_eq!(page.facts()[0].arrival, NOW);
    let page = read_one(&one(SYSTEM, "b", ""));
    let message = view(&page, 0);
    assert_eq!(message.message_attributes, "{}");
    assert_eq!(message.md5_of_message_attributes, None);
}

#[test]
fn answers_that_are_none_are_refused_without_showing_them() {
    let good = one(SYSTEM, "secret", "");
    let wrong = "a member has a wrong type or is missing";
    let table = [
        (String::new(), "it ends too early"),
        ("<html>".to_owned(), "it is not JSON"),
        ("[]".to_owned(), wrong),
        (good[..good.len() / 2].to_owned(), "it ends too early"),
        (good.replace("MessageId", "MessageNo"), wrong),
        (good.replace("ReceiptHandle", "Receipt"), wrong),
        (good.replace("\"secret\"", "[\"secret\"]"), wrong),
        (good.replace(MD5, "secret"), "the MD5 of its body is none"),
        (
            good.replace(r#""2""#, r#""secret""#),
            "its receive count is no count",
        ),
        (
            good.replace("1545082649183", "-1"),
            "the time it was sent is none",
        ),
        (
            one(SYSTEM, "b", &format!(",{ATTRIBUTES}")).replace("d25a", "secret"),
            "the MD5 of its attributes is none",
        ),
        (good.replace("secret", r"\ud800"), "it is not JSON"),
        (good.clone() + "x", "it is not JSON"),
    ];
    for (text, expected) in table {
        assert!(!agree(&text), "{text}");
        let error = read(text.clone().into_bytes(), NOW)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    assert!(read(vec![0xff], NOW).is_err());
    assert!(read(b"{}".to_vec(), NOW).expect("an answer").is_none());
}

/// Damages good answers at random for a while, always from the same seed: for a second, or for
/// `PENSTOCK_FUZZ_SECONDS`, and then without a bound on how many.
#[test]
fn damaged_answers_are_read_alike_or_not_at_all() {
    let fifo = format!("{SYSTEM},{FIFO}");
    let rest = format!(",{ATTRIBUTES}");
    let good = [
        "{}".to_owned(),
        one(SYSTEM, r#"{\"a\":\"b\\\\c\"}"#, ""),
        one(&fifo, r"\u00e9\ud83d\ude00\n", &rest),
        answer(
            &(0..3)
                .map(|n| message(n, &fifo, "é", &rest))
                .collect::<Vec<_>>(),
        ),
    ];
    let spare: &[u8] = b"\"\\{}[],:0123456789.eEun+-= azAZ/\n\x01\xc3\xa9";
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let asked = std::env::var("PENSTOCK_FUZZ_SECONDS").ok();
    let seconds = asked.map(|text| text.parse().expect("PENSTOCK_FUZZ_SECONDS is a number"));
    let most = if seconds.is_some() { u32::MAX } else { 100_000 };
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
        if let Ok(text) = String::from_utf8(bytes) {
            taken += u32::from(agree(&text));
        }
    }
    assert!(
        taken > tried / 100,
        "damage must leave some answers readable: {taken} of {tried}"
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

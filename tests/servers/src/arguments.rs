//! Reads the command line.

use std::num::NonZeroU64;

use penstock_servers::dynamodb::settings::Settings as DynamoDbSettings;
use penstock_servers::kinesis::canned::Spec;
use penstock_servers::kinesis::settings::Settings as KinesisSettings;
use penstock_servers::sqs::canned::Spec as SqsSpec;

/// How the program is called.
pub const USAGE: &str = "\
usage: penstock-servers kinesis [--port P] [--create-ms N] [--update-ms N] [--delete-ms N]
                                [--canned RECORDSxBYTES [--shards N] [--exponent]]
       penstock-servers dynamodb [--port P] [--create-ms N] [--update-ms N] [--delete-ms N]
                                 [--shards N] [--roll-ms N]
       penstock-servers sqs [--port P] [--canned MESSAGESxBYTES]
       penstock-servers draw --port P [--stream NAME] [--limit N]

A server listens on 127.0.0.1, prints {\"port\": P} when it is ready, and ends when its standard
input is closed or on SIGTERM. Port 0, the default, takes a free one. A canned server has a stream
`bench` with RECORDS records of BYTES bytes in each of N shards, or a queue `bench` of so many
messages. A new stream of a table has N open
shards, each of which rolls after so many milliseconds; 0 for never. `draw` reads a stream dry, one
connection a shard, and prints the rate.";

/// What to do.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Serve Kinesis.
    Kinesis(Kinesis),
    /// Serve DynamoDB and its streams.
    DynamoDb(DynamoDb),
    /// Serve SQS.
    Sqs(Sqs),
    /// Draw a stream dry.
    Draw(Draw),
}

/// A Kinesis server to start.
#[derive(Debug, Default, PartialEq)]
pub struct Kinesis {
    /// The port; 0 for a free one.
    pub port: u16,
    /// How it behaves at first.
    pub settings: KinesisSettings,
    /// The stream it has from the start.
    pub canned: Option<Spec>,
}

/// A DynamoDB server to start.
#[derive(Debug, Default, PartialEq)]
pub struct DynamoDb {
    /// The port; 0 for a free one.
    pub port: u16,
    /// How it behaves at first.
    pub settings: DynamoDbSettings,
}

/// An SQS server to start.
#[derive(Debug, Default, PartialEq)]
pub struct Sqs {
    /// The port; 0 for a free one.
    pub port: u16,
    /// The queue it has from the start.
    pub canned: Option<SqsSpec>,
}

/// A stream to draw.
#[derive(Debug, PartialEq)]
pub struct Draw {
    /// The server's port.
    pub port: u16,
    /// The stream.
    pub stream: String,
    /// Records of a page.
    pub limit: u32,
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut arguments = arguments;
    match arguments.next().as_deref() {
        Some("kinesis") => parse_kinesis(arguments).map(Command::Kinesis),
        Some("dynamodb") => parse_dynamodb(arguments).map(Command::DynamoDb),
        Some("sqs") => parse_sqs(arguments).map(Command::Sqs),
        Some("draw") => parse_draw(arguments).map(Command::Draw),
        Some(other) => Err(format!("there is no command {other}")),
        None => Err("a command is needed".to_owned()),
    }
}

fn parse_kinesis(mut arguments: impl Iterator<Item = String>) -> Result<Kinesis, String> {
    let mut serve = Kinesis::default();
    let (mut canned, mut shards, mut exponent) = (None, None, false);
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--port" => serve.port = number(&name, arguments.next())?,
            "--create-ms" => serve.settings.create_ms = number(&name, arguments.next())?,
            "--update-ms" => serve.settings.update_ms = number(&name, arguments.next())?,
            "--delete-ms" => serve.settings.delete_ms = number(&name, arguments.next())?,
            "--canned" => canned = Some(size(&arguments.next().unwrap_or_default())?),
            "--shards" => shards = Some(number(&name, arguments.next())?),
            "--exponent" => exponent = true,
            _ => return Err(format!("kinesis takes no {name}")),
        }
    }
    match canned {
        Some((records, bytes)) => {
            serve.canned = Some(Spec {
                records,
                bytes,
                shards: shards.unwrap_or(1),
                exponent,
            });
        }
        None if shards.is_some() || exponent => {
            return Err("--shards and --exponent go with --canned".to_owned());
        }
        None => {}
    }
    Ok(serve)
}

fn parse_dynamodb(mut arguments: impl Iterator<Item = String>) -> Result<DynamoDb, String> {
    let mut serve = DynamoDb::default();
    while let Some(name) = arguments.next() {
        let settings = &mut serve.settings;
        match name.as_str() {
            "--port" => serve.port = number(&name, arguments.next())?,
            "--create-ms" => settings.create_ms = number(&name, arguments.next())?,
            "--update-ms" => settings.update_ms = number(&name, arguments.next())?,
            "--delete-ms" => settings.delete_ms = number(&name, arguments.next())?,
            "--shards" => settings.shards = number(&name, arguments.next())?,
            "--roll-ms" => {
                settings.roll_ms = NonZeroU64::new(number(&name, arguments.next())?);
            }
            _ => return Err(format!("dynamodb takes no {name}")),
        }
    }
    Ok(serve)
}

fn parse_sqs(mut arguments: impl Iterator<Item = String>) -> Result<Sqs, String> {
    let mut serve = Sqs::default();
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--port" => serve.port = number(&name, arguments.next())?,
            "--canned" => {
                let (messages, bytes) = size(&arguments.next().unwrap_or_default())?;
                serve.canned = Some(SqsSpec { messages, bytes });
            }
            _ => return Err(format!("sqs takes no {name}")),
        }
    }
    Ok(serve)
}

fn parse_draw(mut arguments: impl Iterator<Item = String>) -> Result<Draw, String> {
    let mut draw = Draw {
        port: 0,
        stream: "bench".to_owned(),
        limit: 10_000,
    };
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--port" => draw.port = number(&name, arguments.next())?,
            "--stream" => draw.stream = arguments.next().ok_or("--stream needs a name")?,
            "--limit" => draw.limit = number(&name, arguments.next())?,
            _ => return Err(format!("draw takes no {name}")),
        }
    }
    if draw.port == 0 {
        Err("draw needs --port".to_owned())
    } else {
        Ok(draw)
    }
}

fn number<T: std::str::FromStr>(name: &str, text: Option<String>) -> Result<T, String> {
    let text = text.ok_or_else(|| format!("{name} needs a number"))?;
    text.parse()
        .map_err(|_| format!("{name} needs a number, not {text}"))
}

fn size(text: &str) -> Result<(u64, usize), String> {
    let parts = text.split_once('x');
    let parsed = parts.and_then(|(records, bytes)| {
        Some((
            records.parse().ok().filter(|n| *n > 0)?,
            bytes.parse().ok()?,
        ))
    });
    parsed.ok_or_else(|| format!("--canned needs RECORDSxBYTES, such as 300000x1024, not {text:?}"))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn read(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_canned_server_is_described_in_full() {
        let Ok(Command::Kinesis(serve)) =
            read("kinesis --port 9 --update-ms 7 --canned 300x100 --shards 4 --exponent")
        else {
            panic!("a good line was refused");
        };
        assert_eq!((serve.port, serve.settings.update_ms), (9, 7));
        let spec = Spec {
            records: 300,
            bytes: 100,
            shards: 4,
            exponent: true,
        };
        assert_eq!(serve.canned, Some(spec));
    }

    #[test]
    fn a_dynamodb_server_is_described_in_full() {
        let Ok(Command::DynamoDb(serve)) =
            read("dynamodb --port 9 --update-ms 7 --shards 3 --roll-ms 0")
        else {
            panic!("a good line was refused");
        };
        let wanted = DynamoDbSettings {
            update_ms: 7,
            shards: NonZeroU32::new(3).expect("more than none"),
            roll_ms: None,
            ..DynamoDbSettings::default()
        };
        assert_eq!((serve.port, serve.settings), (9, wanted));
    }

    #[test]
    fn an_sqs_server_is_described_in_full() {
        let spec = SqsSpec {
            messages: 500,
            bytes: 1024,
        };
        let wanted = Sqs {
            port: 9,
            canned: Some(spec),
        };
        assert_eq!(
            read("sqs --port 9 --canned 500x1024"),
            Ok(Command::Sqs(wanted))
        );
    }

    #[test]
    fn what_it_does_not_understand_it_refuses() {
        for line in [
            "",
            "sns",
            "sqs --canned 5",
            "sqs --shards 5",
            "kinesis --port",
            "kinesis --port x",
            "kinesis --canned 5",
            "kinesis --canned 0x5",
            "kinesis --shards 2",
            "draw",
            "dynamodb --canned 5x5",
            "dynamodb --roll-ms soon",
            "dynamodb --shards 0",
            "draw --port 1 --fast",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}

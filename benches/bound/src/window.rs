//! Reads answers through a window: whatever has come is scanned at once, quote to quote.
//!
//! Rules: at most one record is carried over to the next reading; every check is an assertion,
//! since the only answers are those of our own server.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use memchr::{memchr, memmem};

/// Bytes of the window.
const WINDOW_BYTES: usize = 1 << 20;

/// One record as it lies in the window.
pub(crate) struct Record<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) partition_key: &'a [u8],
    pub(crate) sequence_number: &'a [u8],
    pub(crate) arrival: f64,
}

/// A connection and what has come of the present answer.
pub(crate) struct Window {
    wire: TcpStream,
    bytes: Box<[u8]>,
    /// Where the next record begins.
    at: usize,
    filled: usize,
    /// Bytes of the answer that have not come; `None` before its head has.
    left: Option<usize>,
    iterator: String,
}

impl Window {
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let wire = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        wire.set_nodelay(true)?;
        Ok(Self {
            wire,
            bytes: vec![0; WINDOW_BYTES].into_boxed_slice(),
            at: 0,
            filled: 0,
            left: None,
            iterator: String::new(),
        })
    }

    /// Asks for the records at an iterator.
    pub(crate) fn ask(&mut self, iterator: &str) -> io::Result<()> {
        (self.at, self.filled, self.left) = (0, 0, None);
        let body = format!(r#"{{"ShardIterator":"{iterator}","Limit":10000}}"#);
        let request = format!(
            "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-amz-json-1.1\r\n\
             x-amz-target: Kinesis_20131202.GetRecords\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=BOUND/20260101/us-east-1/kinesis/\
             aws4_request, SignedHeaders=host, Signature=0\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.wire.write_all(request.as_bytes())
    }

    /// Whether the whole answer has come.
    pub(crate) fn is_over(&self) -> bool {
        self.left == Some(0)
    }

    /// Reads what has come.
    pub(crate) fn fill(&mut self) -> io::Result<()> {
        let read = self.wire.read(&mut self.bytes[self.filled..])?;
        if read == 0 {
            return Err(io::Error::other(
                "the answer ended early, or a record is too large",
            ));
        }
        self.filled += read;
        match &mut self.left {
            Some(left) => *left -= read,
            None => self.read_head()?,
        }
        Ok(())
    }

    /// The next whole record in the window.
    pub(crate) fn next_record(&mut self) -> Option<Record<'_>> {
        self.left?;
        let (record, next) = scan(&self.bytes[..self.filled], self.at)?;
        self.at = next;
        Some(record)
    }

    /// Moves what was not scanned to the front.
    pub(crate) fn shift(&mut self) {
        if self.left.is_some() {
            self.bytes.copy_within(self.at..self.filled, 0);
            (self.at, self.filled) = (0, self.filled - self.at);
        }
    }

    /// Where the shard goes on.
    pub(crate) fn next_iterator(&self) -> &str {
        &self.iterator
    }

    /// Reads the head, and the answer up to its records, if they have come.
    fn read_head(&mut self) -> io::Result<()> {
        let come = &self.bytes[..self.filled];
        let (Some(head), Some(records)) = (
            memmem::find(come, b"\r\n\r\n"),
            memmem::find(come, b"\"Records\":["),
        ) else {
            return Ok(());
        };
        let bad = || io::Error::other("this is not an answer of our server");
        let text = std::str::from_utf8(&come[..records]).map_err(|_| bad())?;
        if !text.starts_with("HTTP/1.1 200 ") {
            return Err(bad());
        }
        let (_, length) = text.split_once("content-length: ").ok_or_else(bad)?;
        let length = length
            .split("\r\n")
            .next()
            .and_then(|n| n.parse::<usize>().ok());
        let (_, iterator) = text
            .split_once("\"NextShardIterator\":\"")
            .ok_or_else(bad)?;
        self.iterator = iterator.split('"').next().unwrap_or_default().to_owned();
        self.left = Some(length.ok_or_else(bad)? + head + 4 - self.filled);
        self.at = records + b"\"Records\":[".len();
        Ok(())
    }
}

/// The record at `at` and where it ends; `None` when it has not come, or none follows.
fn scan(bytes: &[u8], at: usize) -> Option<(Record<'_>, usize)> {
    let mut at = at + usize::from(*bytes.get(at)? == b',');
    if *bytes.get(at)? != b'{' {
        return None;
    }
    let mut record = Record {
        data: b"",
        partition_key: b"",
        sequence_number: b"",
        arrival: 0.0,
    };
    loop {
        // After the brace or comma: "Name":
        let name = at + 2;
        let end = name + memchr(b'"', bytes.get(name..)?)?;
        let value = end + 2;
        if bytes[name] == b'A' {
            (record.arrival, at) = seconds(bytes, value)?;
        } else {
            let start = value + 1;
            let end = start + memchr(b'"', bytes.get(start..)?)?;
            match bytes[name] {
                b'D' => record.data = &bytes[start..end],
                b'P' => record.partition_key = &bytes[start..end],
                b'S' => record.sequence_number = &bytes[start..end],
                _ => {}
            }
            at = end + 1;
        }
        if *bytes.get(at)? == b'}' {
            return Some((record, at + 1));
        }
    }
}

/// A number of seconds, and where it ends.
fn seconds(bytes: &[u8], mut at: usize) -> Option<(f64, usize)> {
    let (mut digits, mut shift, mut fraction) = (0_u64, 0_i32, false);
    loop {
        match *bytes.get(at)? {
            digit @ b'0'..=b'9' => {
                digits = digits * 10 + u64::from(digit - b'0');
                shift -= i32::from(fraction);
            }
            b'.' => fraction = true,
            b'E' => {
                // One digit: no moment of ours is beyond 9.99E9 seconds.
                shift += i32::from(*bytes.get(at + 1)? - b'0');
                at += 1;
            }
            _ => break,
        }
        at += 1;
    }
    bytes.get(at)?;
    let scale = 10_u64.pow(shift.unsigned_abs()) as f64;
    let value = if shift < 0 {
        digits as f64 / scale
    } else {
        digits as f64 * scale
    };
    Some((value, at))
}

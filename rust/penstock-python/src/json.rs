//! Builds Python values from the JSON text of a record's keys and images.
//!
//! Rules: the text was checked where its page came in: compact, valid, no deeper than
//! [`ITEM_DEPTH_MAX`]; one pass and no tree between; what comes out is what Python's `json.loads`
//! gives. A text that breaks the promise is an error and never a panic.

use std::collections::HashMap;

use memchr::memchr2;
use penstock_engine::limits::ITEM_DEPTH_MAX;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString};

use crate::event::text;

/// Names that are kept for the next item; a table with more attributes than this has them made
/// anew.
const NAMES_MAX: usize = 512;

/// Builds values, and keeps the names of members from one item to the next.
pub(crate) struct JsonBuilder<'py> {
    py: Python<'py>,
    names: HashMap<String, Bound<'py, PyString>>,
    unescaped: String,
}

impl<'py> JsonBuilder<'py> {
    /// A builder that knows no names yet.
    pub(crate) fn new(py: Python<'py>) -> Self {
        Self {
            py,
            names: HashMap::new(),
            unescaped: String::new(),
        }
    }

    /// The value of a whole text.
    pub(crate) fn value(&mut self, json: &str) -> PyResult<Bound<'py, PyAny>> {
        let mut cursor = Cursor { json, at: 0 };
        let value = self.any(&mut cursor, 0)?;
        if cursor.at == json.len() {
            Ok(value)
        } else {
            Err(malformed())
        }
    }

    fn any(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> PyResult<Bound<'py, PyAny>> {
        match cursor.peek()? {
            b'{' => self.object(cursor, depth + 1),
            b'[' => self.list(cursor, depth + 1),
            b'"' => {
                let raw = cursor.quoted()?;
                Ok(self.text(raw)?.into_any())
            }
            b't' => cursor.word("true").map(|()| self.truth(true)),
            b'f' => cursor.word("false").map(|()| self.truth(false)),
            b'n' => cursor
                .word("null")
                .map(|()| self.py.None().into_bound(self.py)),
            _ => self.number(cursor.number()?),
        }
    }

    fn object(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> PyResult<Bound<'py, PyAny>> {
        check_depth(depth)?;
        let object = PyDict::new(self.py);
        cursor.at += 1;
        if cursor.peek()? == b'}' {
            cursor.at += 1;
            return Ok(object.into_any());
        }
        loop {
            let raw = cursor.quoted()?;
            let name = self.name(raw)?;
            cursor.eat(b':')?;
            object.set_item(name, self.any(cursor, depth)?)?;
            if !cursor.more(b'}')? {
                return Ok(object.into_any());
            }
        }
    }

    fn list(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> PyResult<Bound<'py, PyAny>> {
        check_depth(depth)?;
        let list = PyList::empty(self.py);
        cursor.at += 1;
        if cursor.peek()? == b']' {
            cursor.at += 1;
            return Ok(list.into_any());
        }
        loop {
            list.append(self.any(cursor, depth)?)?;
            if !cursor.more(b']')? {
                return Ok(list.into_any());
            }
        }
    }

    /// A member's name, which is the same object wherever it comes again.
    fn name(&mut self, raw: &str) -> PyResult<Bound<'py, PyString>> {
        if let Some(name) = self.names.get(raw) {
            return Ok(name.clone());
        }
        let name = self.text(raw)?;
        if self.names.len() < NAMES_MAX {
            self.names.insert(raw.to_owned(), name.clone());
        }
        Ok(name)
    }

    fn text(&mut self, raw: &str) -> PyResult<Bound<'py, PyString>> {
        if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
            return text(self.py, [raw]);
        }
        self.unescaped = serde_json::from_str(&format!("\"{raw}\"")).map_err(|_| malformed())?;
        text(self.py, [&self.unescaped])
    }

    fn number(&self, digits: &str) -> PyResult<Bound<'py, PyAny>> {
        if digits
            .bytes()
            .any(|byte| matches!(byte, b'.' | b'e' | b'E'))
        {
            let number: f64 = digits.parse().map_err(|_| malformed())?;
            return Ok(PyFloat::new(self.py, number).into_any());
        }
        match digits.parse::<i64>() {
            Ok(number) => Ok(PyInt::new(self.py, number).into_any()),
            // Python's whole numbers have no end.
            Err(_) => self.py.get_type::<PyInt>().call1((digits,)),
        }
    }

    fn truth(&self, value: bool) -> Bound<'py, PyAny> {
        PyBool::new(self.py, value).to_owned().into_any()
    }
}

fn check_depth(depth: usize) -> PyResult<()> {
    if depth <= ITEM_DEPTH_MAX {
        return Ok(());
    }
    Err(malformed())
}

/// Says nothing of the text, which is a payload.
fn malformed() -> PyErr {
    PyValueError::new_err("an item of a page is not the JSON that was checked")
}

struct Cursor<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> PyResult<u8> {
        self.json
            .as_bytes()
            .get(self.at)
            .copied()
            .ok_or_else(malformed)
    }

    fn eat(&mut self, byte: u8) -> PyResult<()> {
        if self.peek()? != byte {
            return Err(malformed());
        }
        self.at += 1;
        Ok(())
    }

    /// Whether a comma follows, or the end of the object or list.
    fn more(&mut self, end: u8) -> PyResult<bool> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Ok(true),
            byte if byte == end => Ok(false),
            _ => Err(malformed()),
        }
    }

    fn word(&mut self, word: &str) -> PyResult<()> {
        if !self.json[self.at..].starts_with(word) {
            return Err(malformed());
        }
        self.at += word.len();
        Ok(())
    }

    /// What stands between two quotes, escapes and all.
    fn quoted(&mut self) -> PyResult<&'a str> {
        self.eat(b'"')?;
        let start = self.at;
        loop {
            let rest = self.json.as_bytes().get(self.at..).ok_or_else(malformed)?;
            let step = memchr2(b'"', b'\\', rest).ok_or_else(malformed)?;
            let end = self.at + step;
            if rest[step] == b'"' {
                self.at = end + 1;
                return Ok(&self.json[start..end]);
            }
            self.at = end + 2;
        }
    }

    fn number(&mut self) -> PyResult<&'a str> {
        let start = self.at;
        let part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let rest = &self.json.as_bytes()[start..];
        self.at += rest.iter().take_while(|byte| part(byte)).count();
        match &self.json[start..self.at] {
            "" => Err(malformed()),
            digits => Ok(digits),
        }
    }
}

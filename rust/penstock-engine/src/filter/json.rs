//! Reads JSON text in place: finds where values begin and end, and copies nothing.
//!
//! Rules: what passes is JSON by RFC 8259, whole and valid; a container deeper than `DEPTH_MAX` is
//! refused; time is linear in the text whatever it holds; texts are unescaped only when asked.

pub(super) use super::scan::Syntax;
use super::scan::{self, NO_COLON, NO_COMMA, NO_END, NO_KEY, NO_MORE_VALUE, NO_VALUE, TOO_DEEP};

/// Containers inside one another. Event Ruler's own parser stops there too.
pub(super) const DEPTH_MAX: usize = 1_000;

/// A place in a text, moving forward.
#[derive(Debug, Clone)]
pub(super) struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

/// A string as it stands between its quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawText<'t> {
    /// The characters, escapes and all.
    pub(super) raw: &'t str,
    /// Whether there are escapes.
    pub(super) escaped: bool,
}

/// What begins at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    Text,
    Number,
    Word,
}

impl<'t> RawText<'t> {
    /// The characters that it stands for; `buffer` is overwritten when there are escapes.
    pub(super) fn plain<'b>(&self, buffer: &'b mut String) -> &'b str
    where
        't: 'b,
    {
        if self.escaped {
            unescape(self.raw, buffer);
            buffer
        } else {
            self.raw
        }
    }
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// How many bytes have been read.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// What the next value is.
    #[inline(always)]
    pub(super) fn kind(&mut self) -> Result<Kind, Syntax> {
        match self.peek() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::Text),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f' | b'n') => Ok(Kind::Word),
            Some(_) => Err(NO_VALUE),
            None => Err(NO_MORE_VALUE),
        }
    }

    /// Enters the object or array that begins here.
    #[inline(always)]
    pub(super) fn open(&mut self) -> Result<(), Syntax> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(TOO_DEEP);
        }
        Ok(())
    }

    /// The next key of the object that was entered, `None` behind the last. `first` says whether
    /// no key came before.
    #[inline(always)]
    pub(super) fn key(&mut self, first: bool) -> Result<Option<RawText<'t>>, Syntax> {
        if self.ends_with(b'}', first)? {
            return Ok(None);
        }
        if self.peek() != Some(b'"') {
            return Err(NO_KEY);
        }
        let key = self.text()?;
        if self.peek() != Some(b':') {
            return Err(NO_COLON);
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Whether the array that was entered has another element.
    pub(super) fn element(&mut self, first: bool) -> Result<bool, Syntax> {
        Ok(!self.ends_with(b']', first)?)
    }

    /// The string that begins here.
    #[inline(always)]
    pub(super) fn text(&mut self) -> Result<RawText<'t>, Syntax> {
        let start = self.at + 1;
        let (end, escaped) = scan::string(self.text.as_bytes(), start)?;
        self.at = end;
        let raw = &self.text[start..end - 1];
        Ok(RawText { raw, escaped })
    }

    /// The number that begins here, as it is written.
    #[inline(always)]
    pub(super) fn number(&mut self) -> Result<&'t str, Syntax> {
        let start = self.at;
        self.at = scan::number(self.text.as_bytes(), start)?;
        Ok(&self.text[start..self.at])
    }

    /// The `true`, `false` or `null` that begins here.
    pub(super) fn word(&mut self) -> Result<&'t str, Syntax> {
        let start = self.at;
        self.at = scan::word(self.text.as_bytes(), start)?;
        Ok(&self.text[start..self.at])
    }

    /// Passes over the value that begins here.
    #[inline(always)]
    pub(super) fn skip(&mut self) -> Result<(), Syntax> {
        let bytes = self.text.as_bytes();
        self.at = scan::space(bytes, self.at);
        match bytes.get(self.at) {
            Some(b'"') => self.at = scan::string(bytes, self.at + 1)?.0,
            Some(b'-' | b'0'..=b'9') => self.at = scan::number(bytes, self.at)?,
            _ => return self.skip_nested(),
        }
        Ok(())
    }

    /// Passes over the value that begins here, whatever is in it. What is most common is asked for
    /// first: this is where matching spends its time.
    fn skip_nested(&mut self) -> Result<(), Syntax> {
        let bytes = self.text.as_bytes();
        // One bit for each container that is open: whether it is an object.
        let mut objects = [0_u64; DEPTH_MAX / 64 + 1];
        let mut depth = self.depth;
        let mut object = false;
        let mut at = self.at;
        loop {
            at = scan::space(bytes, at);
            let Some(&first) = bytes.get(at) else {
                return Err(NO_MORE_VALUE);
            };
            if first == b'"' {
                at = scan::string(bytes, at + 1)?.0;
            } else if first.is_ascii_digit() || first == b'-' {
                at = scan::number(bytes, at)?;
            } else if first == b'{' || first == b'[' {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(TOO_DEEP);
                }
                object = first == b'{';
                let bit = 1 << (depth % 64);
                objects[depth / 64] = (objects[depth / 64] & !bit) | (u64::from(object) * bit);
                at = scan::space(bytes, at + 1);
                // The closing brace and bracket are two letters behind the opening ones.
                if bytes.get(at) != Some(&(first + 2)) {
                    if object {
                        at = scan::key(bytes, at)?;
                    }
                    continue;
                }
                at += 1;
                depth -= 1;
                object = objects[depth / 64] >> (depth % 64) & 1 == 1;
            } else if matches!(first, b't' | b'f' | b'n') {
                at = scan::word(bytes, at)?;
            } else {
                return Err(NO_VALUE);
            }
            // Behind a value: what it stands in may end too.
            while depth > self.depth {
                at = scan::space(bytes, at);
                let next = bytes.get(at).copied();
                if next == Some(b',') {
                    at += 1;
                    if object {
                        at = scan::key(bytes, at)?;
                    }
                    break;
                }
                let close = if object { b'}' } else { b']' };
                if next != Some(close) {
                    return Err(next.map_or(NO_END, |_| NO_COMMA));
                }
                at += 1;
                depth -= 1;
                object = objects[depth / 64] >> (depth % 64) & 1 == 1;
            }
            if depth == self.depth {
                self.at = at;
                return Ok(());
            }
        }
    }

    /// Checks that nothing but white space is left.
    pub(super) fn end(&mut self) -> Result<(), Syntax> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(Syntax(&"something stands behind the end")),
        }
    }

    #[inline(always)]
    fn ends_with(&mut self, close: u8, first: bool) -> Result<bool, Syntax> {
        match self.peek() {
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth -= 1;
                Ok(true)
            }
            _ if first => Ok(false),
            Some(b',') => {
                self.at += 1;
                match self.peek() {
                    Some(byte) if byte == close => Err(Syntax(&"a comma stands before the end")),
                    _ => Ok(false),
                }
            }
            Some(_) => Err(NO_COMMA),
            None => Err(NO_END),
        }
    }

    /// The next byte that is not white space.
    #[inline(always)]
    fn peek(&mut self) -> Option<u8> {
        self.at = scan::space(self.text.as_bytes(), self.at);
        self.text.as_bytes().get(self.at).copied()
    }
}

/// The members of the object that a text is, each with its value as it is written.
pub(super) fn members(text: &str) -> Result<Vec<(String, &str)>, Syntax> {
    let mut reader = Reader::new(text);
    if reader.kind()? != Kind::Object {
        return Err(Syntax(&"it is another value"));
    }
    reader.open()?;
    let mut members = Vec::new();
    while let Some(key) = reader.key(members.is_empty())? {
        let key = key.plain(&mut String::new()).to_owned();
        reader.kind()?;
        let start = reader.offset();
        reader.skip()?;
        members.push((key, &text[start..reader.offset()]));
    }
    reader.end()?;
    Ok(members)
}

/// Writes what a checked string stands for. Half of a surrogate pair becomes `?`, as in Java.
fn unescape(raw: &str, buffer: &mut String) {
    buffer.clear();
    let mut rest = raw;
    while let Some(place) = rest.find('\\') {
        buffer.push_str(&rest[..place]);
        let letter = rest.as_bytes()[place + 1];
        rest = &rest[place + 2..];
        match letter {
            b'b' => buffer.push('\u{8}'),
            b'f' => buffer.push('\u{c}'),
            b'n' => buffer.push('\n'),
            b'r' => buffer.push('\r'),
            b't' => buffer.push('\t'),
            b'u' => {
                let high = unit(rest);
                rest = &rest[4..];
                let low = rest.strip_prefix("\\u").map(unit);
                let pair = low.map(|low| char::decode_utf16([high, low]).next());
                match (char::from_u32(high.into()), pair) {
                    (Some(character), _) => buffer.push(character),
                    (None, Some(Some(Ok(character)))) => {
                        buffer.push(character);
                        rest = &rest[6..];
                    }
                    (None, _) => buffer.push('?'),
                }
            }
            itself => buffer.push(char::from(itself)),
        }
    }
    buffer.push_str(rest);
}

/// The number that four checked hexadecimal digits write.
fn unit(digits: &str) -> u16 {
    u16::from_str_radix(&digits[..4], 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn is_json(text: &str) -> bool {
        let mut reader = Reader::new(text);
        reader
            .kind()
            .and_then(|_| reader.skip())
            .and_then(|()| reader.end())
            .is_ok()
    }

    #[test]
    fn it_takes_what_serde_takes() {
        let pieces = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"\\n\"",
            "\"\\u00e9\"",
            "1",
            "-0",
            "01",
            "1.",
            "1.5e+3",
            "true",
            "nul",
            "null",
            " ",
            "\"",
            "\\",
            "\u{1}",
            "é",
            "-",
            "\"\\x\"",
        ];
        let mut rng = Rng::new(4);
        let mut valid = 0;
        for _ in 0..200_000 {
            let length = 1 + rng.next_u64() % 7;
            let text: String = (0..length)
                .map(|_| pieces[(rng.next_u64() % pieces.len() as u64) as usize])
                .collect();
            let expected = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            assert_eq!(is_json(&text), expected, "{text}");
            valid += u32::from(expected);
        }
        assert!(valid > 1_000, "{valid}");
    }

    #[test]
    fn depth_has_a_bound() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_json(&nested(DEPTH_MAX)));
        assert!(!is_json(&nested(DEPTH_MAX + 1)));
    }

    #[test]
    fn escapes_are_undone_as_serde_does() {
        let texts = [
            r"a\n\t\/\\\u00e9",
            r"\ud83d\ude00x",
            r"\u0041",
            "é",
            r"\\u0041",
        ];
        for text in texts {
            let mut buffer = String::new();
            let quoted = format!("\"{text}\"");
            let raw = Reader::new(&quoted).text().unwrap();
            let expected: String = serde_json::from_str(&quoted).unwrap();
            assert_eq!(raw.plain(&mut buffer), expected);
        }
        let mut buffer = String::new();
        unescape(r"\ud800\u0041\udc00", &mut buffer);
        assert_eq!(buffer, "?A?");
    }
}

//! Finds where the tokens of JSON end.
//!
//! Rules: each function begins at a place in the bytes of a text and gives the place behind what it
//! reads, or says why it is not there; nothing is copied; what is common takes no branch twice.

/// What is wrong with a text that is not JSON. One word wide, since every step of a walk gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Syntax(pub(super) &'static &'static str);

impl From<Syntax> for &'static str {
    fn from(syntax: Syntax) -> Self {
        syntax.0
    }
}

impl From<Syntax> for String {
    fn from(syntax: Syntax) -> Self {
        (*syntax.0).to_owned()
    }
}

pub(super) const TOO_DEEP: Syntax = Syntax(&"it is nested too deeply");
pub(super) const NO_VALUE: Syntax = Syntax(&"a value cannot begin with this character");
pub(super) const NO_MORE_VALUE: Syntax = Syntax(&"it ends where a value should stand");
pub(super) const NO_COMMA: Syntax = Syntax(&"a comma or the end should stand here");
pub(super) const NO_END: Syntax = Syntax(&"it ends inside an object or array");
pub(super) const NO_KEY: Syntax = Syntax(&"a key should stand here");
pub(super) const NO_COLON: Syntax = Syntax(&"a colon should stand here");
pub(super) const NO_DIGIT: Syntax = Syntax(&"a digit should stand here");
pub(super) const NO_ESCAPE: Syntax = Syntax(&"a backslash begins no escape");

#[inline(always)]
pub(super) fn space(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(b'\0'..=b' ') => more_space(bytes, at),
        _ => at,
    }
}

#[inline(never)]
fn more_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

/// A key and its colon.
#[inline(always)]
pub(super) fn key(bytes: &[u8], at: usize) -> Result<usize, Syntax> {
    let at = space(bytes, at);
    if bytes.get(at) != Some(&b'"') {
        return Err(NO_KEY);
    }
    let at = space(bytes, string(bytes, at + 1)?.0);
    match bytes.get(at) {
        Some(b':') => Ok(at + 1),
        _ => Err(NO_COLON),
    }
}

/// A string from behind its opening quote, and whether there are escapes in it.
#[inline(always)]
pub(super) fn string(bytes: &[u8], mut at: usize) -> Result<(usize, bool), Syntax> {
    let mut escaped = false;
    loop {
        at = special(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok((at + 1, escaped)),
            Some(b'\\') => {
                escaped = true;
                at = escape(bytes, at)?;
            }
            Some(_) => return Err(Syntax(&"a control character stands in a string")),
            None => return Err(Syntax(&"a string does not end")),
        }
    }
}

/// Where the next quote, backslash or control character stands, eight bytes at a time.
#[inline(always)]
fn special(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        // With this bit turned the quote comes next after the control characters. A borrow marks
        // bytes behind one that is found, never one before it.
        let low = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
        let backslash = (word ^ (ONES * 0x5c)).wrapping_sub(ONES);
        let found = (low | backslash) & !word & (ONES << 7);
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes[at..].iter();
    let plain = |&&byte: &&u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    at + rest.take_while(plain).count()
}

#[cold]
fn escape(bytes: &[u8], at: usize) -> Result<usize, Syntax> {
    let letters = &bytes[at + 1..];
    match letters.first() {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') if letters.len() > 4 && letters[1..5].iter().all(u8::is_ascii_hexdigit) => {
            Ok(at + 6)
        }
        _ => Err(NO_ESCAPE),
    }
}

pub(super) fn number(bytes: &[u8], mut at: usize) -> Result<usize, Syntax> {
    at += usize::from(bytes.get(at) == Some(&b'-'));
    let start = at;
    at = digits(bytes, at)?;
    if bytes[start] == b'0' && at > start + 1 {
        return Err(Syntax(&"a number begins with a zero"));
    }
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        at = digits(bytes, at)?;
    }
    Ok(at)
}

#[inline(always)]
fn digits(bytes: &[u8], start: usize) -> Result<usize, Syntax> {
    let mut at = start;
    while let Some(b'0'..=b'9') = bytes.get(at) {
        at += 1;
    }
    match at > start {
        true => Ok(at),
        false => Err(NO_DIGIT),
    }
}

pub(super) fn word(bytes: &[u8], at: usize) -> Result<usize, Syntax> {
    let rest = &bytes[at..];
    let mut words = ["true", "false", "null"].iter();
    match words.find(|word| rest.starts_with(word.as_bytes())) {
        Some(word) => Ok(at + word.len()),
        None => Err(Syntax(&"a word is none of true, false and null")),
    }
}

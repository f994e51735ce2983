//! Compares texts with patterns in which `*` stands for any run of characters.
//!
//! Rules: time is linear in the text and the pattern together; what is too complex for AWS is
//! refused, as Event Ruler counts: by how many beginnings of the pattern one text can keep alive.

/// A pattern with `*` for any run of characters.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wildcard {
    /// What stands between the stars, escapes undone. One piece means no star.
    pieces: Vec<String>,
}

/// The most beginnings of a pattern that a text may keep alive. Matching here is linear whatever
/// their number; the service refuses a pattern with 11, and takes one with 7.
const COMPLEXITY_MAX: usize = 10;

impl Wildcard {
    /// Reads a pattern; positions in refusals count the quote before it, as Event Ruler does.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = vec![String::new()];
        let mut characters = text.char_indices().peekable();
        while let Some((place, character)) = characters.next() {
            let next = characters.peek().map(|&(_, next)| next);
            match (character, next) {
                ('*', Some('*')) => {
                    return Err(format!(
                        "Consecutive wildcard characters at pos {}",
                        place + 1
                    ));
                }
                ('*', _) => pieces.push(String::new()),
                ('\\', Some(literal @ ('*' | '\\'))) => {
                    characters.next();
                    push(&mut pieces, literal);
                }
                ('\\', _) => {
                    return Err(format!("Invalid escape character at pos {}", place + 1));
                }
                _ => push(&mut pieces, character),
            }
        }
        if complexity(&pieces) > COMPLEXITY_MAX {
            return Err(TOO_COMPLEX.to_owned());
        }
        Ok(Self { pieces })
    }

    /// Whether it matches the whole text.
    pub(super) fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.pieces.as_slice() else {
            return self.pieces.first().is_some_and(|only| only == text);
        };
        let rest = text.strip_prefix(first.as_str());
        let Some(mut rest) = rest.and_then(|rest| rest.strip_suffix(last.as_str())) else {
            return false;
        };
        // The leftmost place of each piece leaves the most for those behind it.
        for piece in middle {
            match rest.find(piece.as_str()) {
                Some(place) => rest = &rest[place + piece.len()..],
                None => return false,
            }
        }
        true
    }
}

fn push(pieces: &mut [String], character: char) {
    if let Some(piece) = pieces.last_mut() {
        piece.push(character);
    }
}

const TOO_COMPLEX: &str = "Rule is too complex - try using fewer wildcard characters or fewer \
                           repeating character sequences after a wildcard character";

/// How many beginnings of a pattern the worst text keeps alive: each that ends with a star, and
/// those of the pieces behind a star with which that text ends.
fn complexity(pieces: &[String]) -> usize {
    let stars = pieces.len() - 1;
    if stars == 0 || stars > COMPLEXITY_MAX {
        return stars + 1;
    }
    let mut behind: Vec<Vec<u8>> = pieces[1..]
        .iter()
        .map(|piece| piece.clone().into_bytes())
        .collect();
    // The text of a record stands in quotes.
    behind[stars - 1].push(b'"');
    let borders: Vec<Borders> = behind.iter().map(|piece| Borders::of(piece)).collect();
    let mut most = 0;
    for text in &behind {
        let mut read = vec![0; stars];
        for &byte in text {
            let each = borders.iter().zip(&behind).zip(&mut read);
            let alive = each.map(|((borders, piece), read)| {
                *read = borders.after(piece, *read, byte);
                borders.alive[*read]
            });
            most = most.max(alive.sum());
        }
    }
    stars + most
}

/// What the beginnings of a piece have in common with its other parts, as Knuth, Morris and Pratt
/// look for texts.
struct Borders {
    /// For each beginning, the longest shorter one that it ends with.
    shorter: Vec<usize>,
    /// For each beginning, how many it ends with, itself included.
    alive: Vec<usize>,
}

impl Borders {
    fn of(piece: &[u8]) -> Self {
        let mut borders = Self {
            shorter: vec![0, 0],
            alive: vec![0, 1],
        };
        for length in 2..=piece.len() {
            let before = borders.shorter[length - 1];
            let shorter = borders.after(piece, before, piece[length - 1]);
            borders.shorter.push(shorter);
            borders.alive.push(borders.alive[shorter] + 1);
        }
        borders
    }

    /// The longest beginning that a text ends with after one more byte.
    fn after(&self, piece: &[u8], mut read: usize, byte: u8) -> usize {
        while piece.get(read) != Some(&byte) {
            if read == 0 {
                return 0;
            }
            read = self.shorter[read];
        }
        read + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Wildcard::parse(pattern).expect(pattern).matches(text)
    }

    #[test]
    fn stars_stand_for_any_run() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "abc"),
            ("", ""),
            ("a*", "a"),
            ("*a", "ba"),
            ("a*b*c", "aXbXbc"),
            ("a*a", "aa"),
            ("*ab*ab*", "xabab"),
            (r"a\*b", "a*b"),
            (r"a\\b", r"a\b"),
            ("é*", "é!"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("a*a", "a"),
            ("*ab*ab*", "xabb"),
            (r"a\*b", "aXb"),
            ("a*b", "abc"),
            ("A*", "a"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn malformed_wildcards_are_refused_with_the_place() {
        let refusal = |pattern| Wildcard::parse(pattern).expect_err(pattern);
        assert_eq!(refusal("a**b"), "Consecutive wildcard characters at pos 2");
        assert_eq!(refusal(r"a\x"), "Invalid escape character at pos 2");
        assert_eq!(refusal("\\"), "Invalid escape character at pos 1");
        assert_eq!(refusal("*:*:*:*:*:event-bus/*"), TOO_COMPLEX);
        assert!(Wildcard::parse("/Users/*/dir/dir/dir/dir/dir/doc.txt").is_ok());
    }

    /// The numbers are Event Ruler's own.
    #[test]
    fn complexity_is_counted_as_event_ruler_does() {
        for (pattern, expected) in [
            ("abc", 1),
            ("*", 2),
            ("aaa*", 2),
            ("*aaab", 4),
            ("*ab", 2),
            ("*a*b", 3),
            ("*a*a*", 5),
            ("a*a*a", 4),
            ("*é*é", 4),
            ("*\"*\"", 5),
            ("*abcab*abcab", 6),
            ("/Users/*/dir/dir/dir/dir/dir/doc.txt", 7),
            ("*:*:*:*:*:event-bus/*", 11),
            ("*a*b*c*d*e*f*g*h*i*j*k", 12),
        ] {
            let pieces: Vec<String> = pattern.split('*').map(str::to_owned).collect();
            assert_eq!(complexity(&pieces), expected, "{pattern}");
        }
    }
}

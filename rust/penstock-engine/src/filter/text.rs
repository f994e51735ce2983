//! Compares texts ignoring case.
//!
//! Rules: time is linear in the text and the pattern together; case is that of each character by
//! itself, its one lower and its one upper form, without a language.

/// A text whose case does not matter.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Caseless {
    text: String,
    /// Lower and upper form of each character; empty when all are ASCII.
    forms: Vec<[String; 2]>,
}

impl Caseless {
    pub(super) fn new(text: String) -> Self {
        let forms = if text.is_ascii() {
            Vec::new()
        } else {
            text.chars().map(forms).collect()
        };
        Self { text, forms }
    }

    /// Whether a text is this one.
    pub(super) fn equals(&self, text: &str) -> bool {
        self.after(text).is_some_and(str::is_empty)
    }

    /// Whether a text begins with this one.
    pub(super) fn begins(&self, text: &str) -> bool {
        self.after(text).is_some()
    }

    /// Whether a text ends with this one.
    pub(super) fn ends(&self, text: &str) -> bool {
        if self.text.is_ascii() {
            let place = text.len().checked_sub(self.text.len());
            let end = place.and_then(|place| text.as_bytes().get(place..));
            return end.is_some_and(|end| end.eq_ignore_ascii_case(self.text.as_bytes()));
        }
        let mut forms = self.forms.iter().rev();
        let cut = |rest: &'_ str, form: &String| rest.strip_suffix(form.as_str()).map(str::len);
        forms
            .try_fold(text.len(), |end, [lower, upper]| {
                let rest = &text[..end];
                cut(rest, lower).or_else(|| cut(rest, upper))
            })
            .is_some()
    }

    /// What follows this text at the beginning of another.
    fn after<'t>(&self, text: &'t str) -> Option<&'t str> {
        if self.text.is_ascii() {
            let head = text.as_bytes().get(..self.text.len())?;
            let same = head.eq_ignore_ascii_case(self.text.as_bytes());
            return same.then(|| &text[self.text.len()..]);
        }
        self.forms.iter().try_fold(text, |rest, [lower, upper]| {
            rest.strip_prefix(lower.as_str())
                .or_else(|| rest.strip_prefix(upper.as_str()))
        })
    }
}

fn forms(character: char) -> [String; 2] {
    [
        character.to_lowercase().collect(),
        character.to_uppercase().collect(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_is_that_of_each_character() {
        let equals = |pattern: &str, text| Caseless::new(pattern.to_owned()).equals(text);
        assert!(equals("Straße 5", "sTRAßE 5"));
        assert!(equals("É", "é") && equals("é", "É"));
        assert!(equals("straße", "straSSe"), "the upper form of ß is SS");
        assert!(!equals("STRASSE", "straße"));
        assert!(!equals("i", "İ") && !equals("İ", "i"));
        assert!(!equals("ς", "σ") && !equals("k", "\u{212a}"));
        assert!(!equals("ab", "abc") && !equals("abc", "ab"));
    }

    #[test]
    fn case_is_ignored_at_either_end() {
        let caseless = |text: &str| Caseless::new(text.to_owned());
        assert!(caseless("AB").begins("abc") && caseless("éB").begins("Ébc"));
        assert!(caseless("BC").ends("abc") && caseless("cÉ").ends("abCé"));
        assert!(!caseless("BC").ends("c") && !caseless("é").ends("e"));
        assert!(caseless("").begins("é") && caseless("").ends("é"));
        assert!(!caseless("ab").ends("é"), "a cut character is no match");
    }

    /// Matching never looks back; that needs forms of which none begins or ends another.
    #[test]
    fn no_form_begins_or_ends_the_other() {
        for character in char::MIN..=char::MAX {
            let [lower, upper] = forms(character);
            if lower != upper {
                assert!(
                    !lower.starts_with(&upper) && !upper.starts_with(&lower),
                    "{character}"
                );
                assert!(
                    !lower.ends_with(&upper) && !upper.ends_with(&lower),
                    "{character}"
                );
            }
        }
    }
}

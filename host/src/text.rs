//! Texts for people: bounded, without what nobody sees, and numbers as people read them.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

/// What is no letter and no sign: controls (Cc), formats such as those that turn a line's direction
/// round (Cf), and Unicode's own ends of lines and paragraphs (Zl, Zp).
static UNSEEN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]").ok());

/// A stranger's text as one line: it steers no terminal, and none of it looks like another's line.
/// Breaks become spaces, and whatever else nobody would see is shown by its number.
pub fn one_line(text: &str) -> Cow<'_, str> {
    seen(text, |letter, shown| match letter {
        letter if letter.is_whitespace() => shown.push(' '),
        letter => shown.extend(letter.escape_unicode()),
    })
}

/// The same, and short: what a stranger wrote may have megabytes.
pub fn short_line(text: &str, most: usize) -> String {
    cut(&one_line(&cut(text, most)), most)
}

/// The same as [`one_line`] of a text of several lines.
pub fn lines(text: &str) -> Cow<'_, str> {
    seen(text, |letter, shown| match letter {
        '\n' | '\t' => shown.push(letter),
        letter if letter.is_whitespace() => shown.push(' '),
        letter => shown.extend(letter.escape_unicode()),
    })
}

/// The same as [`lines`] of JSON, which means the same afterwards.
pub fn json(text: &str) -> Cow<'_, str> {
    seen(text, |letter, shown| match letter {
        '\n' | '\t' => shown.push(letter),
        letter => {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        }
    })
}

/// A text in which `show` decided what stands for each letter that nobody would see.
fn seen(text: &str, show: impl Fn(char, &mut String)) -> Cow<'_, str> {
    // Most texts, and all that is written to be read by a machine.
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Cow::Borrowed(text);
    }
    // The expression is one, which a test sees.
    let Some(unseen) = &*UNSEEN else { return Cow::Borrowed(text) };
    unseen.replace_all(text, |found: &regex::Captures<'_>| {
        let mut shown = String::new();
        found[0].chars().for_each(|letter| show(letter, &mut shown));
        shown
    })
}

/// The beginning of a text, cut at a character boundary.
pub fn bounded_str(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Cuts a text at a character boundary and says so.
pub fn bounded(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(bounded_str(&text, most).len());
        text.push('…');
    }
    text
}

/// The beginning of a text, which says where more was: of one that need not be kept whole.
pub fn cut(text: &str, most: usize) -> String {
    let mut start = bounded_str(text, most).to_owned();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes with a unit.
pub fn bytes(number: u64) -> String {
    bytesize::ByteSize::b(number).display().iec().to_string()
}

/// `1 document`, `2 documents`.
pub fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_of_a_stranger_s_text_is_shown_or_a_space() {
        for (text, one, several) in [
            ("Straße 7, \u{645}\u{6cc}", "Straße 7, \u{645}\u{6cc}", "Straße 7, \u{645}\u{6cc}"),
            ("a\n\tb\r\u{b}\u{85}c", "a  b   c", "a\n\tb   c"),
            (
                "\u{1b}[2J\u{9b}\0\u{7f}",
                r"\u{1b}[2J\u{9b}\u{0}\u{7f}",
                r"\u{1b}[2J\u{9b}\u{0}\u{7f}",
            ),
            (
                "a\u{202e}b\u{2066}\u{200b}",
                r"a\u{202e}b\u{2066}\u{200b}",
                r"a\u{202e}b\u{2066}\u{200b}",
            ),
            ("a\u{2028}b\u{2029}\u{feff}\u{ad}", r"a b \u{feff}\u{ad}", r"a b \u{feff}\u{ad}"),
            ("\u{e0041}\u{fff9}", r"\u{e0041}\u{fff9}", r"\u{e0041}\u{fff9}"),
        ] {
            assert_eq!((&*one_line(text), &*lines(text)), (one, several), "{text:?}");
            let written = serde_json::to_string(text).expect("JSON");
            let clean = json(&written);
            assert_eq!(serde_json::from_str::<String>(&clean).expect("JSON"), text);
            assert_eq!(one_line(&clean), clean, "{text:?}");
        }
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1234), "1,234");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(count(1, "document"), "1 document");
    }
}

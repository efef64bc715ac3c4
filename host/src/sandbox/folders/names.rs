//! File names are bytes, and what a guest sees of them is text.
//!
//! A name in UTF-8 is itself. In any other, each byte that does not belong to UTF-8 is one character of
//! U+EF80..=U+EFFF. Where a name holds such a character itself, its three bytes are written that way
//! too: no two names become the same text, and each text leads back to its name.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// What is added to a byte.
const OFFSET: u32 = 0xef00;

pub(super) fn to_guest(name: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(name) {
        Ok(text) if !text.contains(is_escape) => Cow::Borrowed(text),
        _ => Cow::Owned(escaped(name)),
    }
}

/// Nothing for a text that stands for no name: it would be a second one for another's.
pub(super) fn from_guest(text: &str) -> Option<Cow<'_, Path>> {
    if !text.contains(is_escape) {
        return Some(Cow::Borrowed(Path::new(text)));
    }
    let mut name = Vec::with_capacity(text.len());
    for character in text.chars() {
        match u8::try_from(u32::from(character).wrapping_sub(OFFSET)) {
            Ok(byte) if is_escape(character) => name.push(byte),
            _ => name.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    (escaped(&name) == text).then(|| Cow::Owned(Path::new(OsStr::from_bytes(&name)).to_owned()))
}

fn is_escape(character: char) -> bool {
    ('\u{ef80}'..='\u{efff}').contains(&character)
}

fn escaped(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len() + 8);
    let escape = |text: &mut String, bytes: &[u8]| {
        text.extend(bytes.iter().filter_map(|byte| char::from_u32(OFFSET + u32::from(*byte))));
    };
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_escape(character) {
                escape(&mut text, character.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                text.push(character);
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_a_text_of_its_own_that_leads_back_to_it() {
        let names: [&[u8]; 7] = [
            b"plain.md",
            "schön.md".as_bytes(),
            b"caf\xe9.md",
            b"\xff\xfe",
            "\u{efe9}".as_bytes(),
            "a\u{ef80}\u{efff}b".as_bytes(),
            b"cut\xc3",
        ];
        let texts: std::collections::BTreeSet<_> =
            names.iter().map(|name| to_guest(name)).collect();
        assert_eq!(texts.len(), names.len());
        for name in names {
            let back = from_guest(&to_guest(name)).map(Cow::into_owned);
            assert_eq!(back.as_deref(), Some(Path::new(OsStr::from_bytes(name))));
        }
        assert_eq!(to_guest(b"caf\xe9.md"), "caf\u{efe9}.md");
    }

    #[test]
    fn a_second_text_for_a_name_leads_nowhere() {
        // U+00E9 in two escaped bytes, and a character of the escapes that is not escaped.
        for text in ["\u{efc3}\u{efa9}", "\u{efee}\u{efbe}x\u{efc3}\u{efa9}"] {
            assert_eq!(from_guest(text), None, "{text:?}");
        }
    }
}

//! Names that are not UTF-8: how the host hands them over, and how people and Glean see them.
//!
//! The host writes each byte that is no UTF-8 as one character of U+EF80..=U+EFFF
//! (`docs/security.md`).

use std::borrow::Cow;

use crate::hash::hash;

/// The name's bytes on the disk.
pub(crate) fn bytes(name: &str) -> Cow<'_, [u8]> {
    if !name.contains(is_escape) {
        return Cow::Borrowed(name.as_bytes());
    }
    let mut bytes = Vec::with_capacity(name.len());
    for character in name.chars() {
        if is_escape(character) {
            bytes.push((u32::from(character) & 0xff) as u8);
        } else {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Cow::Owned(bytes)
}

fn is_escape(character: char) -> bool {
    ('\u{ef80}'..='\u{efff}').contains(&character)
}

/// A path for people: `caf%E9.md` where a name is not UTF-8.
pub(crate) fn shown(path: &str) -> Cow<'_, str> {
    if !path.contains(is_escape) {
        return Cow::Borrowed(path);
    }
    let names: Vec<_> = path.split('/').map(|name| written(name).0).collect();
    Cow::Owned(names.join("/"))
}

/// A name as part of an id. One that is not UTF-8 begins with a slash, as no other name can.
pub(crate) fn id_part(name: &str) -> String {
    let (text, escaped) = written(name);
    if escaped { format!("/{text}") } else { text }
}

/// A name with its bytes that are no UTF-8 as `%E9`, and whether there are any.
fn written(name: &str) -> (String, bool) {
    let bytes = bytes(name);
    if let Ok(text) = str::from_utf8(&bytes) {
        return (text.to_owned(), false);
    }
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('%', "%25"));
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
    }
    (text, true)
}

/// An id of its own for a name that differs from another by case only.
pub(crate) fn with_hash(id_part: &str) -> String {
    format!("{id_part}~{}", hash(id_part, 8))
}

/// What [`with_hash`] was given.
pub(crate) fn without_hash(id_part: &str) -> Option<&str> {
    let (name, end) = id_part.rsplit_once('~')?;
    (hash(name, 8) == end).then_some(name)
}

/// The name that has this part of an id, hashed or not.
pub(crate) fn of_id_part(id_part: &str) -> String {
    let id_part = without_hash(id_part).unwrap_or(id_part);
    let Some(text) = id_part.strip_prefix('/') else { return escape(id_part.as_bytes()) };
    let mut bytes = Vec::with_capacity(text.len());
    let mut pieces = text.split('%');
    bytes.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        let (hex, rest) = piece.split_at_checked(2).unwrap_or(("", piece));
        bytes.extend(u8::from_str_radix(hex, 16));
        bytes.extend_from_slice(rest.as_bytes());
    }
    escape(&bytes)
}

/// Bytes as the host hands them over.
fn escape(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    let escaped = |bytes: &[u8]| -> String {
        bytes.iter().filter_map(|byte| char::from_u32(0xef00 + u32::from(*byte))).collect()
    };
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_escape(character) {
                text.push_str(&escaped(character.encode_utf8(&mut [0; 4]).as_bytes()));
            } else {
                text.push(character);
            }
        }
        text.push_str(&escaped(chunk.invalid()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_utf_8_has_an_id_that_no_other_name_has_and_that_leads_back_to_it() {
        let latin = escape(b"caf\xe9 100%.md");
        assert_eq!(shown(&format!("menu/{latin}")), "menu/caf%E9 100%25.md");
        assert_eq!(id_part(&latin), "/caf%E9 100%25.md");
        assert_eq!(id_part("caf%E9.md"), "caf%E9.md");
        // A name in UTF-8 is what it is, also where it holds a character of the escapes.
        let odd = escape("a\u{ef80}.md".as_bytes());
        assert_eq!((id_part(&odd).as_str(), &*shown(&odd)), ("a\u{ef80}.md", "a\u{ef80}.md"));
        for name in [latin, odd, "caf%E9.md".into(), escape(b"\xff~\xfe"), "a~b".into()] {
            assert_eq!(of_id_part(&id_part(&name)), name);
            assert_eq!(of_id_part(&with_hash(&id_part(&name))), name);
        }
    }
}

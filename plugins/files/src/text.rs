//! Bytes of a file as text.

/// UTF-8, or UTF-16 where a byte order mark says so. What does not belong to the encoding is replaced.
/// Nothing for what is not text.
pub(crate) fn decode(bytes: Vec<u8>) -> Option<String> {
    let text = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => utf_16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf_16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    };
    (!text.contains('\0')).then_some(text)
}

fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let (pairs, cut) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| unit(*pair));
    let mut text: String = char::decode_utf16(units)
        .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    if !cut.is_empty() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_in_utf_8_and_in_utf_16_of_either_order() {
        let little = b"\xff\xfeG\0r\0\xfc\0\xdf\0e\0 \0\x3d\xd8\x4b\xdc".to_vec();
        let big = b"\xfe\xff\0G\0r\0\xfc\0\xdf\0e\0 \xd8\x3d\xdc\x4b".to_vec();
        let utf_8 = "Grüße 👋".as_bytes();
        for bytes in [little, big, utf_8.to_vec(), [b"\xef\xbb\xbf", utf_8].concat()] {
            assert_eq!(decode(bytes).as_deref(), Some("Grüße 👋"));
        }
        assert_eq!(decode(b"caf\xe9".to_vec()).as_deref(), Some("caf\u{fffd}"));
        assert_eq!(decode(b"\xfe\xff\0a\0".to_vec()).as_deref(), Some("a\u{fffd}"));
    }

    #[test]
    fn what_holds_a_nul_is_not_text() {
        for bytes in [&b"a\0b"[..], b"\xff\xfe\0\0a\0\0\0", b"\x7fELF\0"] {
            assert_eq!(decode(bytes.to_vec()), None, "{bytes:?}");
        }
    }
}

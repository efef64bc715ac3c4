//! Batches that another process has encoded: believed as far as they can be read back.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;

use super::batch::{Batch, Most};

/// What must be so of each document: a field that is there twice, or not at all, is an error.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    datasource: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
}

/// The batch, if it is one that could have been cut here: each document is one JSON object of this
/// datasource, and has the id that was told of it; nothing else is between them.
pub fn received<'a>(
    encoded: Bytes,
    ends: Vec<usize>,
    datasource: &str,
    most: Most,
    mut ids: impl Iterator<Item = &'a str>,
) -> Result<Batch, String> {
    if ends.len() > most.documents.max(1) || ends.last() != Some(&encoded.len()) {
        return Err(format!("a batch of {} documents in {} bytes", ends.len(), encoded.len()));
    }
    if encoded.len() > most.bytes && ends.len() > 1 {
        return Err(format!("a batch of {} bytes", encoded.len()));
    }
    let mut begin = 0;
    for (number, end) in ends.iter().enumerate() {
        let is_last = number + 1 == ends.len();
        if !is_last && encoded.get(*end) != Some(&b',') {
            return Err(format!("no comma behind document {}", number + 1));
        }
        let text = encoded.get(begin..*end).unwrap_or_default();
        document(text, datasource, most.document_bytes, ids.next())
            .map_err(|why| format!("document {}: {why}", number + 1))?;
        begin = end + 1;
    }
    Ok(Batch::of(encoded, ends))
}

fn document(text: &[u8], datasource: &str, most: usize, id: Option<&str>) -> Result<(), String> {
    if text.len() > most {
        return Err(format!("it has {} bytes", text.len()));
    }
    // An array would be read by its order.
    if text.first() != Some(&b'{') {
        return Err("it is no object".into());
    }
    if !is_shallow(text) {
        return Err("it goes too deep".into());
    }
    let found: Envelope<'_> = sonic_rs::from_slice(text).map_err(|_| "it is no document")?;
    if found.datasource != datasource {
        return Err("it is of another datasource".into());
    }
    match id {
        Some(id) if found.id == id => Ok(()),
        Some(_) => Err("it has another id than was told".into()),
        None => Err("nothing was told of it".into()),
    }
}

/// More levels than a document has. Whoever reads it goes down as deep as it is nested.
const MAX_DEPTH: usize = 16;

fn is_shallow(text: &[u8]) -> bool {
    // Nearly all have fewer brackets than that, wherever they stand.
    if memchr::memchr2_iter(b'[', b'{', text).nth(MAX_DEPTH).is_none() {
        return true;
    }
    let (mut depth, mut at) = (0usize, 0);
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => at += text_length(text.get(at..).unwrap_or_default()),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return false;
        }
    }
    true
}

/// The length of a JSON text, with the quotation mark that ends it.
fn text_length(rest: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = rest.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if rest[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Most = Most { bytes: 200, documents: 3, document_bytes: 100 };

    fn check(documents: &[&str], ids: &[&str]) -> Result<(), String> {
        let encoded = documents.join(",");
        let mut ends = Vec::new();
        for document in documents {
            ends.push(ends.last().map_or(0, |end| end + 1) + document.len());
        }
        received(encoded.into(), ends, "ds", MOST, ids.iter().copied()).map(drop)
    }

    #[test]
    fn a_batch_is_read_back_before_it_is_sent() {
        let one = r#"{"datasource":"ds","id":"a","body":{"id":"other"}}"#;
        let odd = r#"{"id":"\u00fc\"","x":[1,{"datasource":"other"}],"datasource":"ds"}"#;
        check(&[one, odd], &["a", "\u{fc}\""]).expect("a batch");
        for (documents, ids, why) in [
            (&[one][..], &["b"][..], "another id"),
            (&[one, one], &["a"], "nothing was told"),
            (&[r#"{"datasource":"other","id":"a"}"#], &["a"], "another datasource"),
            (&[r#"{"datasource":"ds","datasource":"other","id":"a"}"#], &["a"], "no document"),
            (&[r#"{"datasource":"ds","i\u0064":"b","id":"a"}"#], &["a"], "no document"),
            (&[r#"{"datasource":"ds"}"#], &["a"], "no document"),
            (&[r#"{"datasource":"ds","id":1}"#], &["1"], "no document"),
            (
                &[r#"{"datasource":"ds","id":"a"}],"isLastPage":true,"x":[{}"#],
                &["a"],
                "no document",
            ),
            (&[r#"{"datasource":"ds","id":"a","x":}"#], &["a"], "no document"),
            (&[r#"{"datasource":"ds","id":"a","x":[1,]}"#], &["a"], "no document"),
            (&[r#"{"datasource":"ds","id":"a","x":[1}]}"#], &["a"], "no document"),
            (&[r#"{"datasource":"ds","id":"a","x":01}"#], &["a"], "no document"),
            (&[r#"{"datasource":"ds","id":"a","x":"unfinished}"#], &["a"], "no document"),
            (&[r#"["ds","a"]"#], &["a"], "no object"),
            (&[r#" {"datasource":"ds","id":"a"}"#], &["a"], "no object"),
            (&[], &[], "0 documents"),
            (&[one, one, one, one], &["a", "a", "a", "a"], "4 documents"),
        ] {
            let found = check(documents, ids).expect_err(why);
            assert!(found.contains(why), "{found} instead of {why}");
        }
        let large = format!(r#"{{"datasource":"ds","id":"a","x":"{}"}}"#, "x".repeat(100));
        assert!(check(&[&large], &["a"]).is_err_and(|why| why.contains("bytes")));
        // What is told to be the end of a document is in another one.
        let two = [one, one].join(",");
        for ends in [vec![5, two.len()], vec![two.len(), one.len()], vec![one.len()], vec![200]] {
            let ids = ["a", "a"].into_iter();
            assert!(received(two.clone().into(), ends, "ds", MOST, ids).is_err());
        }
        let nested = |levels: usize, text: &str| {
            let (open, close) = ("[".repeat(levels), "]".repeat(levels));
            let document =
                format!(r#"{{"datasource":"ds","id":"a","x":{open}{close},"y":"{text}"}}"#);
            let (most, ends) = (Most { document_bytes: 1 << 20, ..MOST }, vec![document.len()]);
            received(document.into(), ends, "ds", most, ["a"].into_iter()).map(drop)
        };
        assert!(nested(100_000, "").is_err_and(|why| why.contains("too deep")));
        assert!(nested(20, "").is_err_and(|why| why.contains("too deep")));
        nested(10, &r#"[[{{\"[\\"#.repeat(1_000)).expect("brackets in a text are none");
        let not_unicode = b"{\"datasource\":\"ds\",\"id\":\"a\",\"x\":\"\xff\"}".to_vec();
        let ends = vec![not_unicode.len()];
        assert!(received(not_unicode.into(), ends, "ds", MOST, ["a"].into_iter()).is_err());
    }
}

//! The words of a document, for the full-text index.

use crate::wire::{Content, Document};

/// Body, summary, comments and the rest that a reader may search for.
pub(crate) fn of(document: &Document) -> String {
    let mut words = String::new();
    for content in [&document.body, &document.summary].into_iter().flatten() {
        add(&mut words, content);
    }
    for content in document.comments.iter().filter_map(|comment| comment.content.as_ref()) {
        add(&mut words, content);
    }
    let more = [&document.container, &document.filename, &document.status];
    for text in more.into_iter().flatten().chain(&document.tags) {
        words.push(' ');
        words.push_str(text);
    }
    words
}

fn add(words: &mut String, content: &Content) {
    let Some(text) = &content.text_content else {
        return;
    };
    if content.mime_type.contains("html") {
        strip(text, words);
    } else {
        words.push_str(text);
    }
    words.push('\n');
}

/// HTML without its tags, scripts and styles, and with its usual entities.
fn strip(html: &str, plain: &mut String) {
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        push_text(&rest[..at], plain);
        rest = &rest[at..];
        let silent = ["script", "style"].into_iter().find(|name| {
            rest.get(1..=name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name))
        });
        let end = match silent {
            Some(name) => find_closing(rest, name),
            None => rest.find('>').map(|end| end + 1),
        };
        plain.push(' ');
        rest = end.map_or("", |end| &rest[end..]);
    }
    push_text(rest, plain);
}

fn find_closing(text: &str, name: &str) -> Option<usize> {
    let closing = format!("</{name}>");
    text.as_bytes()
        .windows(closing.len())
        .position(|window| window.eq_ignore_ascii_case(closing.as_bytes()))
        .map(|at| at + closing.len())
}

fn push_text(text: &str, plain: &mut String) {
    if !text.contains('&') {
        plain.push_str(text);
        return;
    }
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&nbsp;", " "),
        ("&amp;", "&"),
    ];
    let text = entities.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    let mut parts = text.split("&#");
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        if let Some((character, rest)) = numbered(part) {
            plain.push(character);
            plain.push_str(rest);
        } else {
            plain.push_str("&#");
            plain.push_str(part);
        }
    }
}

/// The character of `8212; and so on`, and what follows it.
fn numbered(text: &str) -> Option<(char, &str)> {
    let (number, rest) = text.split_once(';')?;
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    Some((char::from_u32(code)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_searched_by_its_words_only() {
        let mut plain = String::new();
        strip(
            "<p>a <b>b</b> &amp;&#8212;&#x41;&#q; c<SCRIPT>var x = '<p>';</script><style>p{}</style> d < e",
            &mut plain,
        );
        let words: Vec<_> = plain.split_whitespace().collect();
        assert_eq!(words, ["a", "b", "&—A&#q;", "c", "d"]);
    }
}

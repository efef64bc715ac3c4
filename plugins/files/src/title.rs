//! The title that a text gives itself.

/// How far into a file a title is looked for, in bytes.
const LOOKED_AT: usize = 16 << 10;
const MAX_CHARS: usize = 200;

/// The title of a text of this MIME type, if it has one.
pub(crate) fn find(mime_type: &str, text: &str) -> Option<String> {
    let mut end = text.len().min(LOOKED_AT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let head = &text[..end];
    let found = match mime_type {
        "text/html" => html(head),
        "text/markdown" => markdown(head),
        _ => underlined(head),
    }?;
    let title: String = found.split_whitespace().collect::<Vec<_>>().join(" ");
    let title: String = title.chars().take(MAX_CHARS).collect();
    (!title.is_empty()).then_some(title)
}

fn html(text: &str) -> Option<String> {
    element(text, "title").or_else(|| element(text, "h1"))
}

fn element(text: &str, name: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let open =
        lower.match_indices(&format!("<{name}")).map(|(at, tag)| at + tag.len()).find(|at| {
            lower[*at..].starts_with(|next: char| next == '>' || next.is_ascii_whitespace())
        })?;
    let start = open + lower[open..].find('>')? + 1;
    let end = start + lower[start..].find(&format!("</{name}"))?;
    let plain = unescape(&without_tags(&text[start..end]));
    (!plain.trim().is_empty()).then_some(plain)
}

fn without_tags(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut inside = false;
    for character in text.chars() {
        match character {
            '<' => inside = true,
            '>' => inside = false,
            _ if !inside => plain.push(character),
            _ => {}
        }
    }
    plain
}

/// The entities that titles have. `&amp;` comes last: what it yields is text.
fn unescape(text: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&nbsp;", " "),
        ("&mdash;", "—"),
        ("&ndash;", "–"),
        ("&#8212;", "—"),
        ("&#8211;", "–"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

fn markdown(text: &str) -> Option<String> {
    let mut lines = text.lines().peekable();
    if lines.peek().is_some_and(|line| line.trim_end() == "---") {
        lines.next();
        let mut title = None;
        for line in lines.by_ref() {
            if line.trim_end() == "---" {
                break;
            }
            if let Some(value) = line.strip_prefix("title:") {
                title = Some(value.trim().trim_matches(['"', '\'']).to_owned());
            }
        }
        if title.as_deref().is_some_and(|title| !title.is_empty()) {
            return title;
        }
    }
    let mut previous = "";
    let mut fenced = false;
    for line in lines {
        let trimmed = line.trim();
        if trimmed.starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        if let Some(heading) = trimmed.strip_prefix("# ") {
            return Some(heading.trim_end_matches('#').trim().to_owned());
        }
        let underline = trimmed.len() >= 3 && trimmed.bytes().all(|byte| byte == b'=');
        if underline && !previous.is_empty() {
            return Some(previous.to_owned());
        }
        previous = trimmed;
    }
    None
}

/// A line above a line of one and the same punctuation mark, as reStructuredText has it.
fn underlined(text: &str) -> Option<String> {
    let mut previous = "";
    for line in text.lines() {
        let line = line.trim_end();
        let is_title = !previous.trim().is_empty()
            && is_rule(line)
            && !is_rule(previous)
            && line.chars().count() >= previous.trim().chars().count();
        if is_title {
            return Some(previous.trim().to_owned());
        }
        previous = line;
    }
    None
}

fn is_rule(line: &str) -> bool {
    let Some(first) = line.chars().next() else {
        return false;
    };
    line.len() >= 2 && first.is_ascii_punctuation() && line.chars().all(|other| other == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_found_where_each_format_has_them() {
        for (mime_type, text, title) in [
            ("text/html", "<html><TITLE>\n A &amp; B\n</TITLE>", Some("A & B")),
            ("text/html", "<titles>x</titles><h1 class=a>The <b>one</b></h1>", Some("The one")),
            ("text/html", "<p>none</p>", None),
            ("text/markdown", "intro\n\n# The title #\n", Some("The title")),
            ("text/markdown", "---\ntitle: \"Front\"\n---\n# Other", Some("Front")),
            ("text/markdown", "```\n# code\n```\nSetext\n===\n", Some("Setext")),
            ("text/plain", "=====\nTitle\n=====\n", Some("Title")),
            ("text/plain", "==\nrv\n==\n", Some("rv")),
            ("text/plain", ".. comment\n\nA title\n-------\n", Some("A title")),
            ("text/plain", "just text\n", None),
        ] {
            assert_eq!(find(mime_type, text).as_deref(), title, "{text}");
        }
    }
}

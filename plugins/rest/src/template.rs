//! Texts with expressions in braces.

use serde_json::Value;
use sheaf_sdk::{Error, Result};

use crate::expression::{Expression, outside_quotes, shown};

/// A text with expressions in braces: `{space.key}/{id}`. A brace itself is written twice.
pub struct Template(Vec<Part>);

enum Part {
    Literal(String),
    Value(Expression),
}

impl Template {
    pub fn new(text: &str) -> Result<Self> {
        let wrong = |why: &str| Error::fix_settings(format!("`{text}` is not a template: {why}"));
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
            } else if brace == "}" {
                return Err(wrong("a `}` closes nothing; a brace is written twice"));
            } else {
                let end = closing(rest).ok_or_else(|| wrong("a `{` is not closed"))?;
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(Part::Value(Expression::new(rest[..end].trim())?));
                rest = &rest[end + 1..];
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self(parts))
    }

    /// The text, or nothing where one of its expressions finds nothing.
    pub fn text(&self, json: &Value) -> Result<Option<String>> {
        self.fill(json, |_, found| found.to_owned())
    }

    /// The text as a URL: what was found is percent-encoded, but for a whole URL at its beginning.
    pub fn url(&self, json: &Value) -> Result<Option<String>> {
        self.fill(json, |before, found| {
            let whole = ["https://", "http://"].iter().any(|scheme| found.starts_with(scheme));
            if before.is_empty() && whole { found.to_owned() } else { encode(found) }
        })
    }

    fn fill(&self, json: &Value, change: impl Fn(&str, &str) -> String) -> Result<Option<String>> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Value(expression) => match shown(&expression.find(json)?) {
                    Some(found) => text.push_str(&change(&text, &found)),
                    None => return Ok(None),
                },
            }
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// Whether it makes a text, and each of its expressions finds one that is not empty.
    pub(crate) fn is_filled(&self, json: &Value) -> Result<bool> {
        for part in &self.0 {
            if let Part::Value(expression) = part
                && shown(&expression.find(json)?).is_none_or(|found| found.is_empty())
            {
                return Ok(false);
            }
        }
        Ok(!self.0.is_empty())
    }

    /// Several texts, where it is a single expression that finds a list.
    pub fn texts(&self, json: &Value) -> Result<Vec<String>> {
        if let [Part::Value(expression)] = self.0.as_slice() {
            return Ok(match expression.find(json)? {
                Value::Array(values) => values.iter().filter_map(shown).collect(),
                value => shown(&value).into_iter().collect(),
            });
        }
        Ok(self.text(json)?.into_iter().collect())
    }
}

/// What all of these find.
pub(crate) fn all_texts(templates: &[Template], item: &Value) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for template in templates {
        texts.extend(template.texts(item)?);
    }
    Ok(texts)
}

/// Where the brace that was opened before `text` is closed; JMESPath has braces and quotes of its own.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, letter) in outside_quotes(text) {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_takes_what_its_expressions_find() {
        let item = json!({
            "id": 7, "title": "A & B", "creator.address": "ann@example.com", "space": { "key": "HR" },
            "tags": [{ "name": "one" }, { "name": "Category:two" }], "none": null, "a/b": "slash",
        });
        let text = |template: &str| {
            Template::new(template).expect("a template").text(&item).expect("found")
        };
        for (template, expected) in [
            ("{space.key}-{id}", Some("HR-7")),
            ("{\"creator.address\"}", Some("ann@example.com")),
            ("{/space/key}", Some("HR")),
            ("{/a~1b}", Some("slash")),
            ("{{{id}}}", Some("{7}")),
            ("{none}", None),
            ("x{missing}", None),
            ("{none || 'otherwise'}", Some("otherwise")),
            ("{tags[?starts_with(name, 'Category:')].replace(name, 'Category:', '')}", Some("two")),
            ("{lower(space.key)}", Some("hr")),
            ("plain", Some("plain")),
        ] {
            assert_eq!(text(template).as_deref(), expected, "{template}");
        }
        let roles = Template::new("{split(roles, ',')}").expect("a template");
        let roles = roles.texts(&json!({ "roles": "User, Staff,," })).expect("found");
        assert_eq!(roles, ["User", "Staff"]);
        assert_eq!(text("{ {a: id}.a }").as_deref(), Some("7"), "JMESPath's own braces");
        let tags = Template::new("{tags[].name}").expect("a template").texts(&item).expect("found");
        assert_eq!(tags, ["one", "Category:two"]);
        let url =
            Template::new("page/{title}?x={id}").expect("a template").url(&item).expect("found");
        assert_eq!(url.as_deref(), Some("page/A%20%26%20B?x=7"));
    }

    #[test]
    fn what_is_no_template_is_refused_with_the_reason() {
        for (text, part) in [("{id", "not closed"), ("id}", "closes nothing"), ("{[}", "JMESPath")]
        {
            let error = Template::new(text).err().expect("refused").to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    /// Numbers that look random and are the same in each run (xorshift).
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 33).expect("31 bits") % bound
        }
    }

    /// What templates are made of, and what looks like it.
    const PIECES: &[&str] = &[
        "{",
        "}",
        "{{",
        "}}",
        "[",
        "]",
        "[]",
        "[?",
        "[*]",
        "(",
        ")",
        "*",
        ".",
        ",",
        ":",
        "@",
        "&",
        "&&",
        "|",
        "||",
        "!",
        "==",
        "<",
        ">=",
        "-",
        "0",
        "1",
        "-1",
        "2147483647",
        "99999999999",
        "[::-1]",
        "[1::2147483647]",
        "'",
        "\"",
        "`",
        "\\",
        "'x'",
        "`[1, null]`",
        "\"\\u0000\"",
        " ",
        "\n",
        "ä",
        "½",
        "\u{10ffff}",
        "/",
        "/a/0",
        "~1",
        "a",
        "id",
        "tags",
        "tags[0]",
        "name",
        "replace(",
        "lower(",
        "split(",
        "sort_by(",
        "max_by(",
        "merge(",
        "join(",
        "to_number(",
        "avg(",
        "map(",
        "length(",
        "keys(",
        "reverse(",
        "not_null(",
        "type(",
    ];

    #[test]
    fn no_text_is_a_template_that_panics() {
        let items = [
            json!({ "id": -7, "a": [[1, 2], [], {}], "tags": [{ "name": "ä" }, { "name": null }, 0.5] }),
            json!(["a", 1, null, [true]]),
            json!("ä"),
            json!(null),
        ];
        let mut random = Random(0x5eaf);
        let mut rendered = 0;
        for _ in 0..30_000 {
            let mut text = String::from(if random.below(4) == 0 { "" } else { "{" });
            for _ in 0..random.below(9) {
                text.push_str(PIECES[random.below(PIECES.len())]);
            }
            text.push_str(if random.below(4) == 0 { "" } else { "}" });
            let Ok(template) = Template::new(&text) else { continue };
            for item in &items {
                let _ = (template.texts(item), template.url(item));
                rendered += usize::from(matches!(template.text(item), Ok(Some(_))));
            }
        }
        assert!(rendered > 100, "the test has to find templates among the texts: {rendered}");
    }

    #[test]
    fn an_expression_that_would_exhaust_the_stack_is_refused() {
        for deep in ["(", "[", "{a:", "!", "lower(", "a.", "a||", "a[?"] {
            let text = format!("{{{}", deep.repeat(20_000));
            assert!(Template::new(&text).is_err(), "{deep}");
            let text = format!("{{{}a}}", deep.repeat(20_000));
            assert!(Template::new(&text).is_err(), "{deep}");
        }
        // Quotes may hold anything.
        assert!(Template::new(&format!("{{'{}'}}", "[".repeat(20_000))).is_ok());
    }
}

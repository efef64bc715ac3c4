//! How settings point into JSON: JMESPath, or a JSON Pointer where it begins with a slash; and texts
//! with such expressions in braces.

use std::fmt;

use jmespath::functions::{ArgumentType, CustomFunction, Signature};
use jmespath::{Context, Rcvar, Runtime, Variable};
use serde_json::Value;
use sheaf_sdk::{Error, Result};

/// An expression, ready for use.
pub struct Expression {
    text: String,
    kind: Kind,
}

enum Kind {
    Pointer,
    Path(jmespath::Expression<'static>),
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Expression {
    pub fn new(text: &str) -> Result<Self> {
        let kind = if text.starts_with('/') {
            Kind::Pointer
        } else {
            let parsed = runtime().compile(text).map_err(|error| {
                let why = error.to_string();
                let why = why.lines().next().unwrap_or_default().to_owned();
                Error::fix_settings(format!("`{text}` is not a JMESPath expression: {why}"))
            })?;
            Kind::Path(parsed)
        };
        Ok(Self { text: text.to_owned(), kind })
    }

    /// What it finds; `null` where there is nothing.
    pub fn find(&self, json: &Value) -> Result<Value> {
        match &self.kind {
            Kind::Pointer => Ok(json.pointer(&self.text).cloned().unwrap_or_default()),
            Kind::Path(expression) => {
                let failed = |error: &dyn fmt::Display| {
                    Error::fix_settings(format!("`{}` cannot be applied: {error}", self.text))
                };
                let variable = Variable::from_serializable(json).map_err(|error| failed(&error))?;
                let found = expression.search(variable).map_err(|error| failed(&error))?;
                serde_json::to_value(&*found).map_err(|error| failed(&error))
            }
        }
    }

    /// Whether what it points at is there, be it empty. Only of a pointer and of names joined by dots that is
    /// known.
    pub fn is_there(&self, json: &Value) -> bool {
        match &self.kind {
            Kind::Pointer => json.pointer(&self.text).is_some(),
            Kind::Path(_) => {
                let mut names = self.text.split('.').map(|name| name.trim().trim_matches('"'));
                names.try_fold(json, |value, name| value.get(name)).is_some()
            }
        }
    }

    /// Whether it finds anything that counts as true.
    pub fn holds(&self, json: &Value) -> Result<bool> {
        Ok(match self.find(json)? {
            Value::Null | Value::Bool(false) => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(values) => !values.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::Bool(true) => true,
        })
    }
}

/// One runtime for all: JMESPath's own functions, and `replace` and `lower` besides.
fn runtime() -> &'static Runtime {
    // A guest has one thread, and as many runtimes as it leaks.
    thread_local! {
        static RUNTIME: &'static Runtime = Box::leak(Box::new(with_functions()));
    }
    RUNTIME.with(|runtime| *runtime)
}

fn with_functions() -> Runtime {
    let mut runtime = Runtime::new();
    runtime.register_builtin_functions();
    let text = |value: &Rcvar| value.as_string().cloned().unwrap_or_default();
    let strings = |count| Signature::new(vec![ArgumentType::String; count], None);
    let replace = move |arguments: &[Rcvar], _: &mut Context<'_>| {
        let replaced = text(&arguments[0]).replace(&text(&arguments[1]), &text(&arguments[2]));
        Ok(Rcvar::new(Variable::String(replaced)))
    };
    runtime
        .register_function("replace", Box::new(CustomFunction::new(strings(3), Box::new(replace))));
    let lower = move |arguments: &[Rcvar], _: &mut Context<'_>| {
        Ok(Rcvar::new(Variable::String(text(&arguments[0]).to_lowercase())))
    };
    runtime.register_function("lower", Box::new(CustomFunction::new(strings(1), Box::new(lower))));
    runtime
}

/// A text with expressions in braces: `{space.key}/{id}`. `{{` and `}}` are braces.
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

/// Where the brace that was opened before `text` is closed; JMESPath has braces and quotes of its own.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut quote = None;
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"' | '`') => quote = Some(letter),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(at),
            (None, '}') => depth -= 1,
            _ => {}
        }
    }
    None
}

/// A value as text; a list is joined, and an object is none.
pub fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Object(_) => None,
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(values) => {
            let texts: Vec<_> = values.iter().filter_map(shown).collect();
            (!texts.is_empty()).then(|| texts.join("\n\n"))
        }
    }
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
}

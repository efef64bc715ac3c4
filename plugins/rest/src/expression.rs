//! How settings point into JSON: JMESPath, or a JSON Pointer where it begins with a slash.

use std::fmt;

use jmespath::functions::{ArgumentType, CustomFunction, Signature};
use jmespath::{Context, Rcvar, Runtime, Variable};
use serde_json::Value;
use sheaf_sdk::{Error, Result};

/// JMESPath is parsed and applied by functions that call themselves, once for an operator or bracket: a text
/// with many more of them would exhaust the stack.
const MOST_OPERATORS: usize = 500;
/// A number is an index or a slice's step, which are added to each other: their sum must fit into 32 bits.
const MOST_DIGITS: usize = 9;

/// An expression, ready for use.
pub(crate) struct Expression {
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
    pub(crate) fn new(text: &str) -> Result<Self> {
        let kind = if text.starts_with('/') {
            Kind::Pointer
        } else {
            let wrong = |why: &str| {
                Error::fix_settings(format!("`{text}` is not a JMESPath expression: {why}"))
            };
            bounded(text).map_err(|why| wrong(&why))?;
            let parsed = runtime().compile(text).map_err(|error| {
                let why = error.to_string();
                wrong(why.lines().next().unwrap_or_default())
            })?;
            Kind::Path(parsed)
        };
        Ok(Self { text: text.to_owned(), kind })
    }

    /// What it finds; `null` where there is nothing.
    pub(crate) fn find(&self, json: &Value) -> Result<Value> {
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

    /// Whether it leaves out some of what it finds.
    pub(crate) fn filters(&self) -> bool {
        let outside = || outside_quotes(&self.text);
        let mut pairs = outside().zip(outside().skip(1));
        matches!(self.kind, Kind::Path(_))
            && pairs.any(|((at, one), (next, other))| (one, other, next) == ('[', '?', at + 1))
    }

    /// Whether what it points at is there, even if it is null or empty. That is known only for a pointer, and for
    /// names joined by dots.
    pub(crate) fn is_there(&self, json: &Value) -> bool {
        match &self.kind {
            Kind::Pointer => json.pointer(&self.text).is_some(),
            Kind::Path(_) => {
                let mut names = self.text.split('.').map(|name| name.trim().trim_matches('"'));
                names.try_fold(json, |value, name| value.get(name)).is_some()
            }
        }
    }

    /// Whether it finds anything that counts as true.
    pub(crate) fn holds(&self, json: &Value) -> Result<bool> {
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

/// Refuses what the JMESPath library would not survive.
fn bounded(text: &str) -> std::result::Result<(), String> {
    let (mut operators, mut digits, mut in_name) = (0, 0, false);
    for (_, letter) in outside_quotes(text) {
        let is_digit = letter.is_ascii_digit();
        in_name = letter.is_ascii_alphabetic() || letter == '_' || in_name && is_digit;
        operators += usize::from(letter.is_ascii_punctuation() && letter != '_');
        digits = if is_digit && !in_name { digits + 1 } else { 0 };
        if operators > MOST_OPERATORS {
            return Err(format!("it has more than {MOST_OPERATORS} operators and brackets"));
        }
        if digits > MOST_DIGITS {
            return Err(format!("it has a number of more than {MOST_DIGITS} digits"));
        }
    }
    Ok(())
}

/// The letters of a text that stand in none of JMESPath's quotes, with their places.
pub(crate) fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut quote, mut escaped) = (None, false);
    text.char_indices().filter(move |(_, letter)| {
        match (quote, *letter) {
            (None, '\'' | '"' | '`') => quote = Some(*letter),
            (None, _) => return true,
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), letter) if letter == open => quote = None,
            _ => {}
        }
        false
    })
}

/// One runtime for all: JMESPath's own functions, and `replace`, `lower` and `split` besides.
fn runtime() -> &'static Runtime {
    // Expressions borrow it for as long as they live. It is leaked once, as a guest has one thread.
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
    let split = move |arguments: &[Rcvar], _: &mut Context<'_>| {
        let (whole, separator) = (text(&arguments[0]), text(&arguments[1]));
        let parts = whole.split(&separator).map(str::trim).filter(|part| !part.is_empty());
        let parts = parts.map(|part| Rcvar::new(Variable::String(part.to_owned())));
        Ok(Rcvar::new(Variable::Array(parts.collect())))
    };
    runtime.register_function("split", Box::new(CustomFunction::new(strings(2), Box::new(split))));
    runtime
}

/// A value as text; a list is joined, and an object is none.
pub(crate) fn shown(value: &Value) -> Option<String> {
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

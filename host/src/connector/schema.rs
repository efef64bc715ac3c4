//! A connector's schema of its settings, and what settings that do not fit it are told.
//!
//! No value is repeated: it may be a secret in the wrong place.

use jsonschema::error::ValidationErrorKind as Problem;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema_rules;
use crate::failure::Failure;
use crate::text::bounded;

/// What is wrong with one setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Misfit {
    /// The keys that lead to it, below the settings.
    #[serde(deserialize_with = "crate::lists::counted")]
    pub keys: Vec<String>,
    pub what: String,
    /// The key that was meant, where one is near.
    pub meant: Option<String>,
}

/// So much is told of what does not fit; the rest is more of the same.
const MOST: usize = 20;
/// The longest list of what a setting may be.
const MAX_SHAPE: usize = 400;
/// What one pattern may take when it is compiled.
const PATTERN_BYTES: usize = 1 << 20;

/// What does not fit, in the order of the schema's reading.
pub fn misfits(schema: &Value, settings: &Value) -> Result<Vec<Misfit>, String> {
    let validator = validator(schema)?;
    Ok(validator
        .iter_errors(settings)
        .flat_map(|error| misfit(&error, schema))
        .take(MOST)
        .collect())
}

/// A connector's schema, if settings can be held against it.
pub(super) fn of(text: &str) -> Result<Value, String> {
    let schema = schema_rules::read(text)?;
    schema_rules::check(&schema)?;
    validator(&schema).map_err(|error| format!("its settings schema is not valid: {error}"))?;
    Ok(schema)
}

/// Patterns are matched in a time that grows with the text alone: without looking around or back.
fn validator(schema: &Value) -> Result<Validator, String> {
    jsonschema::options()
        .offline()
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES))
        .build(schema)
        .map_err(|error| wrong(&error))
}

fn wrong(error: &ValidationError<'_>) -> String {
    let place = match error.instance_path().as_str() {
        "" => error.schema_path().as_str(),
        place => place,
    };
    let what = match error.kind() {
        Problem::Format { format } if format.as_str() == "regex" => {
            "the pattern is too large, or looks around or back, or is none".to_owned()
        }
        _ => error.masked().to_string(),
    };
    format!("{} (at `{}`)", bounded(what, MAX_SHAPE), bounded(place.to_owned(), 200))
}

fn misfit(error: &ValidationError<'_>, schema: &Value) -> Vec<Misfit> {
    let keys: Vec<String> = error
        .instance_path()
        .as_str()
        .split('/')
        .skip(1)
        .map(|key| key.replace("~1", "/").replace("~0", "~"))
        .collect();
    let path = error.schema_path().as_str();
    let around = path.rsplit_once('/').map_or("", |(around, _)| around);
    let around = schema.pointer(around).unwrap_or(schema);
    let one = |what: String| vec![Misfit { keys: keys.clone(), what, meant: None }];
    match error.kind() {
        Problem::AdditionalProperties { unexpected }
        | Problem::UnevaluatedProperties { unexpected } => {
            let known: Vec<_> = fields(around).into_iter().map(|(name, ..)| name).collect();
            let unknown = |key: &String| Misfit {
                keys: keys.iter().chain([key]).cloned().collect(),
                what: format!("there is no setting `{key}`"),
                meant: nearest(key, known.iter().map(String::as_str)).map(str::to_owned),
            };
            unexpected.iter().map(unknown).collect()
        }
        Problem::Required { property } => {
            let property = property.as_str().unwrap_or_default();
            one(format!("the setting `{property}` is missing"))
        }
        Problem::AnyOf { context } | Problem::OneOfNotValid { context } => {
            // An object that one of them takes but for a key says more than all that is taken.
            let inner = context.iter().flatten().find(|inner| {
                matches!(
                    inner.kind(),
                    Problem::AdditionalProperties { .. } | Problem::Required { .. }
                )
            });
            match inner.filter(|_| error.instance().is_object()) {
                Some(inner) => misfit(inner, schema),
                None => one(must_be(around, schema)),
            }
        }
        Problem::Enum { .. } | Problem::Constant { .. } | Problem::Type { .. } => {
            one(must_be(around, schema))
        }
        _ => one(error.masked_with("the value").to_string()),
    }
}

fn must_be(around: &Value, schema: &Value) -> String {
    format!("the value must be {}", bounded(shape(around, schema), MAX_SHAPE))
}

/// The failure that all misfits make; `place` finds where keys stand.
pub fn failure(
    name: &str,
    misfits: &[Misfit],
    place: impl Fn(&[&str]) -> String,
) -> Option<Failure> {
    let at = |misfit: &Misfit| place(&misfit.keys.iter().map(String::as_str).collect::<Vec<_>>());
    let (first, more) = misfits.split_first()?;
    let mut what = format!("the settings do not fit `{name}`: {}", first.what);
    if !more.is_empty() {
        what.push_str(&format!(", and {} more", more.len()));
    }
    let next = match &first.meant {
        Some(meant) => {
            format!("did you mean `{meant}`? `sheaf inspect` lists what the connector takes")
        }
        None => "correct them; `sheaf inspect` lists what the connector takes".to_owned(),
    };
    let more: Vec<_> =
        more.iter().map(|misfit| format!("{} ({})", misfit.what, at(misfit))).collect();
    Some(Failure::settings(what).at(at(first)).next(next).detail(more.join("\n")))
}

/// The nearest of some words, if one is near.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |known: &str| strsim::damerau_levenshtein(word, known);
    let (distance, near) = known.map(|known| (distance(known), known)).min()?;
    (distance <= near.chars().count().div_ceil(3).max(1)).then_some(near)
}

/// The settings of a schema, the required ones first: name, schema, and whether it is required.
pub fn fields(schema: &Value) -> Vec<(String, &Value, bool)> {
    let required: Vec<_> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object().into_iter().flatten();
    let mut fields: Vec<_> = properties
        .map(|(name, field)| (name.clone(), field, required.contains(&name.as_str())))
        .collect();
    fields.sort_by_key(|(name, _, is_required)| (!is_required, name.clone()));
    fields
}

/// What a setting may be, as people write it: `string`, `"everyone" or { users, groups }`.
pub fn shape(field: &Value, schema: &Value) -> String {
    shape_within(field, schema, 8)
}

/// A stranger's schema may go round in circles.
fn shape_within(field: &Value, schema: &Value, depth: usize) -> String {
    let Some(depth) = depth.checked_sub(1) else { return "value".into() };
    let shape = |field, schema| shape_within(field, schema, depth);
    if let Some(name) = field["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        return shape(&schema["$defs"][name], schema);
    }
    if let Some(constant) = field.get("const") {
        return constant.to_string();
    }
    if let Some(choices) = field["enum"].as_array() {
        return choices.iter().map(Value::to_string).collect::<Vec<_>>().join(" or ");
    }
    if let Some(choices) = field["anyOf"].as_array().or(field["oneOf"].as_array()) {
        let choices = choices.iter().filter(|choice| choice["type"] != "null");
        return choices.map(|choice| shape(choice, schema)).collect::<Vec<_>>().join(" or ");
    }
    if let Some(properties) = field["properties"].as_object() {
        let names: Vec<_> = properties.keys().map(String::as_str).collect();
        return format!("{{ {} }}", names.join(", "));
    }
    let kind = match &field["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => kinds
            .iter()
            .filter_map(Value::as_str)
            .filter(|kind| *kind != "null")
            .collect::<Vec<_>>()
            .join(" or "),
        _ => "value".into(),
    };
    match field.get("items") {
        Some(items) if kind == "array" => format!("list of {}", shape(items, schema)),
        _ => kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["base_url"],
            "properties": {
                "base_url": { "type": "string" },
                "order": { "enum": ["newest", "oldest"] },
                "tags": { "type": "array", "items": { "type": "string" } },
                "access": { "anyOf": [{ "const": "everyone" }, { "$ref": "#/$defs/Some" }] },
            },
            "$defs": { "Some": {
                "type": "object",
                "additionalProperties": false,
                "properties": { "users": { "type": "array" }, "groups": { "type": "array" } },
            } },
        })
    }

    #[test]
    fn each_misfit_is_named_with_what_would_fit_and_without_its_value() {
        for (settings, keys, what, meant) in [
            (json!({ "base_ulr": "s3cr3t" }), "base_ulr", "no setting `base_ulr`", "base_url"),
            (json!({}), "", "`base_url` is missing", ""),
            (json!({ "order": "s3cr3t" }), "order", "\"newest\" or \"oldest\"", ""),
            (json!({ "tags": "s3cr3t" }), "tags", "list of string", ""),
            (json!({ "tags": ["s3cr3t", 7] }), "tags.1", "must be string", ""),
            (json!({ "access": "s3cr3t" }), "access", "\"everyone\" or { groups, users }", ""),
            (json!({ "access": { "user": ["s3cr3t"] } }), "access.user", "no setting", "users"),
        ] {
            let found = misfits(&schema(), &settings).expect("a schema");
            let misfit = found.iter().find(|found| found.keys.join(".") == keys);
            let misfit = misfit.unwrap_or_else(|| panic!("{keys}: {found:?}"));
            assert!(misfit.what.contains(what), "{misfit:?}");
            assert_eq!(misfit.meant.as_deref().unwrap_or_default(), meant);
            assert!(!format!("{found:?}").contains("s3cr3t"), "{found:?}");
        }
    }

    #[test]
    fn a_pattern_is_matched_in_a_time_that_grows_with_the_text_or_not_at_all() {
        let schema = |pattern: &str| {
            of(&json!({ "properties": { "a": { "pattern": pattern } } }).to_string())
        };
        for pattern in ["^(?=.*a)b", r"(a)\1", "[a-z]{1000}{1000}", "("] {
            let why = schema(pattern).expect_err(pattern);
            assert!(why.contains("(at `/properties/a/pattern`)"), "{why}");
            assert!(why.contains("the pattern is too large, or looks around or back"), "{why}");
        }
        // One that goes back and forth takes years here.
        let schema = schema("^(a+)+$").expect("a schema");
        let settings = json!({ "a": format!("{}b", "a".repeat(10_000)) });
        assert_eq!(misfits(&schema, &settings).expect("a schema").len(), 1);
    }

    #[test]
    fn a_schema_is_compiled_however_deep_it_may_be() {
        let mut schema = json!({ "type": "object" });
        for _ in 0..31 {
            schema = json!({ "properties": { "a": schema } });
        }
        assert!(of(&schema.to_string()).is_ok());
        let deeper = json!({ "properties": { "a": schema } });
        assert!(of(&deeper.to_string()).is_err());
    }

    #[test]
    fn what_is_far_from_everything_is_near_to_nothing() {
        let known = ["server_url", "token", "attempts"];
        assert_eq!(nearest("servr_url", known.into_iter()), Some("server_url"));
        assert_eq!(nearest("tokne", known.into_iter()), Some("token"));
        assert_eq!(nearest("colour", known.into_iter()), None);
    }
}

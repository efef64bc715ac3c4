//! What a connector's schema of its settings may be. It is a stranger's: what takes a moment to describe may take
//! for ever to check, or lead the one who checks it elsewhere.

use serde_json::Value;

use crate::text::{bounded, bytes};

/// The longest text of a schema.
pub(super) const MOST_BYTES: usize = 256 << 10;
/// The most values that are looked at, those included that are referred to again and again.
const MOST_VALUES: usize = 20_000;
/// How deep they may stand within one another, and within what refers to them.
const DEEPEST: usize = 64;
/// The most patterns.
const MOST_PATTERNS: usize = 50;

/// What names a schema, or a part of it, so that a reference leads there by another way than through the schema.
const NAMES: [&str; 7] = [
    "$id",
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
];

/// The drafts of the language that are read: in older ones `id` names a schema.
const DRAFTS: [&str; 4] = [
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
];

/// What is wrong with a schema, if anything is.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    if let Some(draft) = schema["$schema"].as_str()
        && !DRAFTS.contains(&draft.trim_end_matches('#'))
    {
        let draft = bounded(draft.to_owned(), 100);
        return Err(format!("its settings schema is one of `{draft}`: write one of {}", DRAFTS[0]));
    }
    let mut patterns = 0;
    look(schema, 0, &mut patterns)?;
    if patterns > MOST_PATTERNS {
        let what = format!("{patterns} patterns, and {MOST_PATTERNS} are the most");
        return Err(format!("its settings schema has {what}"));
    }
    Walk { whole: schema, within: Vec::new(), depth: 0, left: MOST_VALUES }.walk(schema)
}

/// Looks at all of a schema, what nothing refers to included.
fn look(value: &Value, depth: usize, patterns: &mut usize) -> Result<(), String> {
    if depth == DEEPEST {
        return Err(too_deep());
    }
    let fields = match value {
        Value::Array(values) => {
            return values.iter().try_for_each(|value| look(value, depth + 1, patterns));
        }
        Value::Object(fields) => fields,
        _ => return Ok(()),
    };
    for (name, value) in fields {
        // Below `properties` the same word is a setting's name, and stands before a schema.
        let is_word = value.is_string() || value.is_boolean() || name == "$vocabulary";
        if is_word && NAMES.contains(&name.as_str()) {
            return Err(format!(
                "its settings schema uses `{name}`: refer to parts of it by `#/$defs/NAME`"
            ));
        }
        match name.as_str() {
            "$schema" if value.is_string() && depth > 0 => {
                return Err("its settings schema has another one inside, with a `$schema`".into());
            }
            "pattern" if value.is_string() => *patterns += 1,
            "patternProperties" => *patterns += value.as_object().map_or(0, serde_json::Map::len),
            _ => {}
        }
        look(value, depth + 1, patterns)?;
    }
    Ok(())
}

fn too_deep() -> String {
    format!("its settings schema is more than {DEEPEST} deep")
}

/// Follows each reference, and sees that it comes to an end.
struct Walk<'a> {
    whole: &'a Value,
    /// The references that lead to where it is.
    within: Vec<&'a str>,
    depth: usize,
    left: usize,
}

impl<'a> Walk<'a> {
    fn walk(&mut self, value: &'a Value) -> Result<(), String> {
        self.left = self.left.checked_sub(1).ok_or("its settings schema is too large")?;
        if self.depth == DEEPEST {
            return Err(too_deep());
        }
        self.depth += 1;
        let walked = self.fields(value);
        self.depth -= 1;
        walked
    }

    fn fields(&mut self, value: &'a Value) -> Result<(), String> {
        let fields = match value {
            Value::Array(values) => return values.iter().try_for_each(|value| self.walk(value)),
            Value::Object(fields) => fields,
            _ => return Ok(()),
        };
        for (name, value) in fields {
            match (name.as_str(), value.as_str()) {
                ("$ref", Some(to)) => self.follow(to)?,
                // They are walked through where they are referred to.
                ("$defs" | "definitions", _) => {}
                _ => self.walk(value)?,
            }
        }
        Ok(())
    }

    fn follow(&mut self, to: &'a str) -> Result<(), String> {
        let shown = || bounded(to.to_owned(), 200);
        if self.within.contains(&to) {
            return Err(format!("its settings schema refers to itself at `{}`", shown()));
        }
        let target = to.strip_prefix('#').and_then(|to| self.whole.pointer(to));
        let target = target.ok_or_else(|| {
            format!("its settings schema refers to `{}`, which is not in it", shown())
        })?;
        self.within.push(to);
        self.walk(target)?;
        self.within.pop();
        Ok(())
    }
}

/// A schema's text as JSON, if it is short enough.
pub(super) fn read(text: &str) -> Result<Value, String> {
    if text.len() > MOST_BYTES {
        let (size, most) = (bytes(text.len() as u64), bytes(MOST_BYTES as u64));
        return Err(format!("its settings schema has {size}, and {most} is the most"));
    }
    serde_json::from_str(text).map_err(|error| format!("its settings schema is not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_that_would_be_checked_for_ever_is_refused() {
        let mut bomb = json!({ "$ref": "#/$defs/d0", "$defs": { "d15": { "type": "object" } } });
        let mut chain = json!({ "$ref": "#/$defs/d0", "$defs": { "d9000": { "type": "object" } } });
        for depth in 0..9_000 {
            let to = json!({ "$ref": format!("#/$defs/d{}", depth + 1) });
            if depth < 15 {
                bomb["$defs"][format!("d{depth}")] = json!({ "allOf": [to, to] });
            }
            chain["$defs"][format!("d{depth}")] = to;
        }
        let patterns = |count| vec![json!({ "pattern": "a" }); count];
        let named: serde_json::Map<_, _> = (0..51).map(|n| (n.to_string(), json!({}))).collect();
        for (schema, part) in [
            (bomb, "too large"),
            (chain, "more than 64 deep"),
            (
                json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/a" } } }),
                "refers to itself",
            ),
            (json!({ "$ref": "https://example.com/schema" }), "not in it"),
            (json!({ "$ref": "#name", "$defs": { "a": { "$anchor": "name" } } }), "`$anchor`"),
            (json!({ "$id": "https://example.com/schema" }), "`$id`"),
            (json!({ "$defs": { "unused": { "$dynamicAnchor": "a" } } }), "`$dynamicAnchor`"),
            (json!({ "items": { "$dynamicRef": "#a" } }), "`$dynamicRef`"),
            (json!({ "$recursiveAnchor": true }), "`$recursiveAnchor`"),
            (json!({ "items": { "$recursiveRef": "#" } }), "`$recursiveRef`"),
            (json!({ "$schema": "http://json-schema.org/draft-04/schema#" }), "2020-12"),
            (json!({ "$schema": "https://example.com/of-my-own" }), "2020-12"),
            (json!({ "not": { "$schema": DRAFTS[0] } }), "another one inside"),
            (json!({ "anyOf": patterns(51) }), "51 patterns, and 50 are the most"),
            (json!({ "patternProperties": named }), "51 patterns"),
        ] {
            let error = check(&schema).expect_err(part);
            assert!(error.contains(part), "{error}");
        }
        assert!(read(&format!("\"{}\"", "x".repeat(MOST_BYTES))).is_err());
    }

    #[test]
    fn a_schema_that_leads_nowhere_else_is_read() {
        let properties = json!({
            "a": { "$ref": "#/$defs/a" },
            "b": { "$ref": "#/$defs/a" },
            // Names of settings, not of schemas.
            "$id": { "type": "string" },
            "pattern": { "type": "string", "pattern": "^https?://" },
        });
        for draft in [DRAFTS[0], "http://json-schema.org/draft-07/schema#"] {
            let schema =
                json!({ "$schema": draft, "properties": properties, "$defs": { "a": {} } });
            assert_eq!(check(&schema), Ok(()));
        }
        let patterns = vec![json!({ "pattern": "a" }); MOST_PATTERNS];
        assert_eq!(check(&json!({ "anyOf": patterns })), Ok(()));
    }
}

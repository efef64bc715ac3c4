//! In which form a connection's state is written, and by whom: what a later version wrote is not guessed at.

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Kind};
use crate::release;

/// A change that an earlier version would misread makes it one more.
const FORM: u32 = 1;

/// What each version writes into a state. Versions before the first form wrote nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Form {
    number: u32,
    written_by: String,
}

/// As much of a state as every later one has.
#[derive(Deserialize)]
struct Written {
    form: serde_json::Value,
}

impl Form {
    pub fn now() -> Self {
        Self { number: FORM, written_by: release::VERSION.to_owned() }
    }

    /// Why this version must not touch what was written in a later form.
    pub fn refusal(bytes: &[u8], place: &str) -> Option<Failure> {
        let Written { form } = serde_json::from_slice(bytes).ok()?;
        // One that this version cannot read is no earlier one either.
        let unknown =
            Self { number: u32::MAX, written_by: "in a form that is not known here".into() };
        let Self { number, written_by } = serde_json::from_value(form).unwrap_or(unknown);
        (number > FORM).then(|| {
            Failure::new(
                Kind::Settings,
                format!("what is remembered of this connection was written by a later Sheaf ({written_by})"),
            )
            .at(place)
            .next("run that one, or a later one; nothing of it was changed")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_forms_and_damage_are_read_and_later_ones_refused() {
        let refused = |text: &str| Form::refusal(text.as_bytes(), "a/state").is_some();
        let now = serde_json::json!({ "form": Form::now() }).to_string();
        for text in ["{}", "no JSON", r#"{"form":{}}"#, now.as_str()] {
            assert!(!refused(text), "{text}");
        }
        assert!(refused(r#"{"form":"III"}"#));
        assert!(refused(r#"{"form":{"number":2,"written_by":"2.0.0"},"runs":7}"#));
    }
}

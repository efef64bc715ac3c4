//! What Glean was told. Pure.

use serde::{Deserialize, Serialize};

use super::refused::Refused;
use super::roster::{Doubt, Roster, Waits};

/// What Glean was told, and of what it is not known whether that came to pass: a request may be carried out late, or
/// its answer have been lost. What is in doubt is told again, whether it has changed or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Known {
    pub roster: Roster,
    pub doubt: Doubt,
    pub waits: Waits,
    #[serde(skip_serializing_if = "Refused::is_empty")]
    pub refused: Refused,
}

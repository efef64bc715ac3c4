//! Where a crawl resumes.

use serde::{Deserialize, Serialize};
use sheaf_sdk::{Error, Result};

use crate::coverage::Tallies;
use crate::paging::Place;

/// The page that a crawl is at, and what was delivered of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// The source's clock when the crawl began.
    pub began: Option<i64>,
    pub place: Place,
    /// Whether items of the list move to other pages when some come or go.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shifts: bool,
    /// How often it was read before, and what was seen of it, up to this page.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub readings: u32,
    #[serde(default, skip_serializing_if = "is_new")]
    pub tallies: Tallies,
    /// How many items of that page were delivered, and what the last one is known by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<(usize, String)>,
}

impl Checkpoint {
    /// The one that is resumed; without it, where a crawl begins.
    pub(crate) fn parse(resume: Option<&str>) -> Result<Self> {
        match resume {
            None => Ok(Self::default()),
            Some(text) => serde_json::from_str(text).map_err(|error| {
                Error::start_over(format!("the checkpoint cannot be read: {error}"))
            }),
        }
    }

    /// Whether nothing was read before it.
    pub(crate) fn is_the_beginning(&self) -> bool {
        self.place == Place::default() && self.after.is_none() && self.readings == 0
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

fn is_new(tallies: &Tallies) -> bool {
    *tallies == Tallies::default()
}

//! A Glean that has lost the users and groups that it was told of. A crawl of them does not notice: where nothing has
//! changed, it asks Glean for nothing. A full crawl asks for the datasource's status in any case.

use super::census::Counted;
use super::connection_state::ConnectionState;
use super::crawler::Crawler;
use crate::clock::Timestamp;
use crate::failure::Result;

impl Crawler {
    /// How many documents Glean counts when a full crawl begins. Whether it counts users and groups is kept.
    pub(super) async fn counted_at_first(
        &self,
        name: &str,
        datasource: &str,
    ) -> Result<Option<Counted>> {
        let (counted, people) = self.counted_with_people(datasource).await?;
        let Some(people) = people else { return Ok(counted) };
        let standing = self.states.of(name).await?.identities;
        // Those of another datasource are others.
        let last = standing.last.as_ref().filter(|last| last.datasource == datasource);
        if last.is_some_and(|last| last.users + last.groups > 0) {
            let now = Timestamp::now();
            let count = |state: &mut ConnectionState| state.identities.counted(people, now);
            let state = self.states.update(name, count).await?;
            if let Some(since) = state.identities.lost {
                tracing::warn!(
                    connection = name,
                    "Glean counts none of the users and groups that it was told of, since {since}; `sheaf sync {name} \
                     --identities --restart` tells all of them again"
                );
            }
        }
        Ok(counted)
    }
}

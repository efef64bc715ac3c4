//! Whether somebody may find a document, here and in Glean. Here: by who may find it as its source has it now, or as it
//! was uploaded, and by the users and groups that Glean was told of.

use std::time::Duration;

use serde::Serialize;

use super::connection::Connection;
use super::connection_state::ConnectionState;
use super::crawler::Crawler;
use super::explain::{Fate, KnownDocument};
use super::identities::{
    Facts, Known, Person, Reason, Standing, Verdict, changed, reasons, verdict,
};
use super::result::Outcome;
use super::source_access::FromSource;
use crate::clock::Timestamp;
use crate::document::key;
use crate::failure::{Failure, Result};
use crate::glean;
use crate::glean::access::{DocumentInGlean, UserInGlean};
use crate::glean::error::Outage;
use crate::text::{one_line, short_line};
use crate::wire::permissions::Allowed;

/// Bytes that are told of a reason.
const LONGEST: usize = 400;
/// How long Glean is asked, all in all.
const ASKED_FOR: Duration = Duration::from_secs(5);

/// What is asked.
pub struct Question<'a> {
    pub connection: &'a Connection,
    /// The document's id, or its address.
    pub id: &'a str,
    /// Somebody's e-mail, in whatever case, or id.
    pub user: &'a str,
    /// How long the source is read at most; not at all for no time.
    pub read_for: Duration,
}

/// What there is to say.
pub enum Access {
    /// No crawl has seen the document.
    NoDocument,
    /// It is no e-mail, and no id of anybody that Glean was told of.
    NoUser(Box<KnownDocument>),
    Answered(Box<Answered>),
}

/// An answer, and what it stands on.
pub struct Answered {
    pub datasource: String,
    pub document: KnownDocument,
    pub person: Person,
    pub here: Here,
    /// Nothing where no Glean is configured.
    pub glean: Option<InGlean>,
    /// Why the two differ, if they do; the most certain first.
    pub reasons: Vec<Reason>,
    /// What waits, fails or is not known, and may be why somebody asks.
    pub beside: Vec<Reason>,
    /// When users and groups were last read and told as far as they were.
    pub told_at: Option<Timestamp>,
    /// When they were last read and told as a whole.
    pub as_of: Option<Timestamp>,
}

/// By what is known here.
pub struct Here {
    pub verdict: Verdict,
    /// Nothing where Glean does not have the document, or nobody says who may find it.
    pub allowed: Option<Allowed>,
    pub from: Option<Origin>,
    /// Why the source does not say it.
    pub not_from_source: Option<String>,
}

/// Who says who may find the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The source, now.
    Source,
    /// Glean, of what was uploaded.
    Uploaded,
}

/// What Glean says.
pub struct InGlean {
    /// Whether they may find it. Nothing where that cannot be asked, because their e-mail is not known.
    pub allowed: Result<Option<bool>>,
    /// What it was told of the document, or why it does not say: this and the next are only for the reasons.
    pub document: Result<DocumentInGlean, String>,
    /// And of them; nothing where it was not asked.
    pub user: Option<Result<UserInGlean, String>>,
    /// Whether it knows users of the datasource by their e-mails.
    pub by_email: Option<bool>,
}

impl InGlean {
    /// Whether it says that it does not have the document.
    pub fn is_missing(&self) -> bool {
        self.document.as_ref().is_ok_and(DocumentInGlean::is_missing)
    }
}

impl Answered {
    /// What Glean says, if it does.
    pub fn in_glean(&self) -> Option<bool> {
        *self.glean.as_ref()?.allowed.as_ref().ok()?
    }

    pub fn differs(&self) -> bool {
        let both = self.here.verdict.allowed.zip(self.in_glean());
        both.is_some_and(|(here, glean)| here != glean)
    }
}

impl Crawler {
    /// Whether somebody may find a document.
    pub async fn access(&self, question: &Question<'_>) -> Result<Access> {
        let Question { connection, id, user, read_for } = *question;
        let (name, datasource) = (connection.name.as_str(), &connection.datasource);
        let Some(document) = self.find(name, id).await? else { return Ok(Access::NoDocument) };
        let (known, lost) = match self.kept_identities(name).known(datasource).await? {
            Ok(known) => (known, None),
            Err(why) => (None, Some(why)),
        };
        let roster = known.as_ref().map(|known| &known.roster);
        let Some(person) = Person::find(user, roster) else {
            return Ok(Access::NoUser(Box::new(document)));
        };
        let glean = self.ask_glean(datasource, &document, &person).await;
        let here = if document.in_glean {
            let source = if read_for.is_zero() {
                FromSource { allowed: Err("the source was not asked".into()), by_email: None }
            } else {
                self.source_access(connection, &document, read_for).await
            };
            let said = glean.as_ref();
            let by_email = said.and_then(|said| said.by_email).or(source.by_email);
            let uploaded = said.and_then(|said| said.document.as_ref().ok()?.permissions.clone());
            judged(source.allowed, uploaded, |allowed| verdict(allowed, &person, roster, by_email))
        } else {
            not_there(&document)
        };
        let state = self.states.of(name).await?;
        let mut beside = beside(name, &document, &state, (known.as_ref(), lost), &here);
        beside.extend(glean.iter().flat_map(unsaid));
        let Standing { as_of, last, .. } = state.identities;
        let told_at = last.map(|last| last.ended_at);
        let (datasource, reasons) = (datasource.clone(), Vec::new());
        let mut answered =
            Answered { datasource, document, person, here, glean, reasons, beside, told_at, as_of };
        if answered.differs() {
            answered.reasons = why(name, &answered, known.as_ref());
        } else if let (Some(InGlean { document: Ok(uploaded), .. }), Some(now)) =
            (&answered.glean, &answered.here.allowed)
        {
            answered.beside.extend(changed(name, uploaded, now));
        }
        Ok(Access::Answered(Box::new(answered)))
    }

    /// All at once: what some of it does not answer, or refuses, takes nothing from the rest.
    async fn ask_glean(
        &self,
        datasource: &str,
        document: &KnownDocument,
        person: &Person,
    ) -> Option<InGlean> {
        if self.client.server_url().is_empty() {
            return None;
        }
        let KnownDocument { object_type, id, .. } = document;
        let email = person.email.as_deref();
        let allowed = async {
            let Some(email) = email else { return Ok(None) };
            self.soon(self.client.check_access(datasource, object_type, id, email)).await.map(Some)
        };
        let user = async { Some(self.soon(self.client.user_status(datasource, email?)).await) };
        let (allowed, uploaded, user, by_email) = tokio::join!(
            allowed,
            self.soon(self.client.uploaded_document(datasource, object_type, id)),
            user,
            self.soon(self.client.knows_users_by_email(datasource)),
        );
        let is_missing = uploaded.as_ref().is_ok_and(DocumentInGlean::is_missing);
        let allowed = match allowed {
            // Of one that is not there Glean describes no answer.
            Err(error) if is_missing && error.is_refusal() => Ok(Some(false)),
            other => other,
        };
        let why = |error: glean::Error| error.to_string();
        Some(InGlean {
            allowed: allowed.map_err(Failure::from),
            document: uploaded.map_err(why),
            user: user.map(|user| user.map_err(why)),
            by_email: by_email.ok(),
        })
    }

    /// Somebody waits for the answer.
    async fn soon<T>(
        &self,
        asked: impl Future<Output = Result<T, glean::Error>>,
    ) -> Result<T, glean::Error> {
        tokio::time::timeout(ASKED_FOR, asked).await.unwrap_or_else(|_| {
            let what = format!("Glean does not answer: no answer within {ASKED_FOR:?}");
            let server = self.client.server_url().to_owned();
            Err(glean::Error::Unreachable(Outage { server, what, retry_after: None }))
        })
    }
}

/// What Glean does not say though it says whether they may find it: it may be why reasons are missing.
fn unsaid(said: &InGlean) -> Vec<Reason> {
    let InGlean { allowed: Ok(_), document, user, .. } = said else { return Vec::new() };
    let document = document.as_ref().err().map(|why| ("the document", why));
    let user = user.as_ref().and_then(|user| user.as_ref().err()).map(|why| ("the user", why));
    let reason = |(of, why): (&str, &String)| Reason {
        what: format!("Glean does not say what it was told of {of}: {}", short_line(why, LONGEST)),
        next: "nothing: whether they may read it does not depend on that".into(),
    };
    document.into_iter().chain(user).map(reason).collect()
}

fn judged(
    source: Result<Allowed, String>,
    uploaded: Option<Allowed>,
    verdict: impl Fn(&Allowed) -> Verdict,
) -> Here {
    let (allowed, from, not_from_source) = match (source, uploaded) {
        (Ok(allowed), _) => (allowed, Origin::Source, None),
        (Err(why), Some(allowed)) => (allowed, Origin::Uploaded, Some(why)),
        (Err(why), None) => {
            let verdict = Verdict::plain(None, "who may read it is not known here");
            return Here { verdict, allowed: None, from: None, not_from_source: Some(why) };
        }
    };
    let verdict = verdict(&allowed);
    Here { verdict, allowed: Some(allowed), from: Some(from), not_from_source }
}

/// Nobody finds what is not in Glean.
fn not_there(document: &KnownDocument) -> Here {
    let reason = short_line(&document.reason, LONGEST);
    let why = match document.state {
        Fate::Quarantined => format!("nobody finds it: it is quarantined: {reason}"),
        Fate::Deleted | Fate::Uploaded if reason.is_empty() => {
            "nobody finds it: it was deleted in Glean".to_owned()
        }
        Fate::Deleted | Fate::Uploaded => format!("nobody finds it: {reason}"),
    };
    let verdict = Verdict::plain(Some(false), &why);
    Here { verdict, allowed: None, from: None, not_from_source: None }
}

fn why(connection: &str, answered: &Answered, known: Option<&Known>) -> Vec<Reason> {
    let Answered { document, person, here, glean, .. } = answered;
    let Some(InGlean { document: uploaded, user, .. }) = glean else { return Vec::new() };
    let nothing = DocumentInGlean::default();
    reasons(&Facts {
        connection,
        person,
        here: &here.verdict,
        allowed: here.allowed.as_ref(),
        gone: (!document.in_glean).then_some(match document.state {
            Fate::Quarantined => "quarantined",
            Fate::Deleted | Fate::Uploaded => "deleted",
        }),
        known,
        document: uploaded.as_ref().unwrap_or(&nothing),
        user: user.as_ref().and_then(|user| user.as_ref().ok()),
    })
}

/// What else may be why somebody does, or does not, see it.
fn beside(
    name: &str,
    document: &KnownDocument,
    state: &ConnectionState,
    (known, lost): (Option<&Known>, Option<String>),
    here: &Here,
) -> Vec<Reason> {
    let mut all = Vec::new();
    let mut add = |what: String, next: String| all.push(Reason { what, next });
    let Standing { last, failing, held, .. } = &state.identities;
    if let Some(why) = lost {
        let what =
            format!("it is not known any more which users and groups Glean was told of: {why}");
        add(what, format!("sheaf sync {name} --identities"));
    } else if known.is_none() && here.verdict.allowed.is_none() {
        let what = "this connection has told Glean of no users and groups; others may have";
        add(what.into(), format!("sheaf sync {name} --identities, if the connector has them"));
    }
    if let Some(held) = held {
        let first = held.reasons.first().map(ToString::to_string).unwrap_or_default();
        let what = format!(
            "a change of users and groups waits for approval since {}: {}",
            held.since,
            short_line(&first, LONGEST)
        );
        add(what, format!("sheaf approve {name} --identities --dry-run"));
    }
    if let Some(failing) = failing {
        let what = short_line(&failing.failure.what, LONGEST);
        let what = format!(
            "users and groups may be as they were: reading or telling them fails since {}: {what}",
            failing.since
        );
        add(what, failing.failure.next.clone().unwrap_or_else(|| "sheaf status".into()));
    } else if last.as_ref().is_some_and(|last| last.outcome == Outcome::Partial) {
        let what = "some users and groups are as they were: they were not all read, or told";
        add(what.into(), "sheaf status".into());
    }
    let wanted = key(&document.id);
    if let Some(change) = state.changes.iter().find(|change| change.key() == wanted) {
        let what = format!("its {} is not done yet, since {}", change.wanted(), change.since);
        add(what, format!("sheaf sync {name} --incremental"));
    }
    if document.in_glean && document.state == Fate::Quarantined {
        let why = short_line(&document.reason, LONGEST);
        let what = format!("Glean has an older version: the last was quarantined: {why}");
        add(what, format!("sheaf quarantine show {name} {}", one_line(&document.id)));
    }
    all
}

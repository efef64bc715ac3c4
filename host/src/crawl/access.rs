//! Whether somebody may find a document, here and in Glean. Here: by who may find it as its source has it now, or as it
//! was uploaded, and by the users and groups that Glean was told of.

use std::time::Duration;

use serde::Serialize;

use super::beside::{Besides, LONGEST, beside};
use super::connection::Connection;
use super::crawler::Crawler;
use super::elsewhere::Elsewhere;
use super::explain::{Fate, KnownDocument};
use super::identities::{
    Facts, Known, Person, Reason, Standing, Verdict, changed, reasons, verdict,
};
use super::in_glean::InGlean;
use super::source_access::FromSource;
use crate::clock::Timestamp;
use crate::failure::Result;
use crate::glean::access::DocumentInGlean;
use crate::text::short_line;
use crate::wire::permissions::Allowed;

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
    /// No crawl has seen the document. What Glean says of it: another tool may have told it. Nothing where no Glean is
    /// configured, or it is not known who asks.
    NoDocument(Option<Box<Elsewhere>>),
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
        let document = self.find(name, id).await?;
        let (known, lost) = match self.kept_identities(name).known(datasource).await? {
            Ok(known) => (known, None),
            Err(why) => (None, Some(why)),
        };
        let roster = known.as_ref().map(|known| &known.roster);
        let (document, person) = match (document, Person::find(user, roster)) {
            (Some(document), Some(person)) => (document, person),
            (Some(document), None) => return Ok(Access::NoUser(Box::new(document))),
            (None, Some(person)) => {
                let elsewhere = Box::pin(self.elsewhere(datasource, id, person)).await;
                return Ok(Access::NoDocument(elsewhere.map(Box::new)));
            }
            (None, None) => return Ok(Access::NoDocument(None)),
        };
        let of = (document.object_type.as_str(), document.id.as_str());
        let glean = self.ask_glean(datasource, of, &person).await;
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
        let besides = Besides {
            name,
            document: &document,
            state: &state,
            person: &person,
            verdict: &here.verdict,
            allowed: here.allowed.as_ref(),
        };
        let mut beside = beside(&besides, known.as_ref(), lost);
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

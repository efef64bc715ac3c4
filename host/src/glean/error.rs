//! What Glean answered, as a type. Whoever decides by it decides by this type, and never by words or by
//! a [`Kind`]; at the edge it becomes a [`Failure`] with the next step.
//!
//! Glean's description names the statuses of each endpoint and no shape for the text of an error. So a
//! status that it names is believed, and everything else is [`Error::NotGlean`]: an unlisted status, a
//! page of HTML, a body that is not what the endpoint promises. Such an answer comes from a proxy, a
//! login page or a wrong address. It says nothing about a document, a session or a datasource.

use std::fmt;
use std::time::Duration;

use regex::Regex;
use reqwest::StatusCode;

use crate::failure::{Failure, Kind};
use crate::text::bounded;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a request to Glean came to, other than to success.
#[derive(Clone, Debug, PartialEq)]
pub enum Error {
    /// 400, in words that say that Glean does not know the datasource.
    UnknownDatasource(Answer),
    /// 400: the request is wrong, or one of its documents.
    BadRequest(Answer),
    /// 413: less at once may pass.
    TooLarge(Answer),
    /// 409: another upload is in progress, or Glean has a newer version.
    Conflict(Answer),
    /// 401 or 403.
    Unauthorized(Answer),
    /// Something else answers in Glean's place.
    NotGlean(Answer),
    /// No answer, or none but "not now".
    Unreachable(Outage),
    /// The upload session is not in progress any more: another one replaced it, or ended it.
    SessionLost(Lost),
    /// Each document of a batch was refused: not one of them is at fault, the request itself is.
    RequestAtFault(RequestFault),
    /// The request could not be made at all: nothing was asked of Glean.
    NotSent(Failure),
}

/// An answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Where Glean is.
    pub server: String,
    /// The endpoint.
    pub path: String,
    pub status: u16,
    /// The answer's text, bounded; or what is wrong with it.
    pub said: String,
}

/// Glean was away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    pub server: String,
    /// What the last try came to.
    pub what: String,
    /// How long Glean asked to be left alone.
    pub retry_after: Option<Duration>,
}

/// A session that is not in progress any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub datasource: String,
    pub upload_id: String,
    /// What replaced it is a request of our own that had timed out.
    pub late_copy: bool,
    /// What Glean answered to the page that showed it.
    pub said: String,
}

/// A request that is refused whichever document is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestFault {
    pub datasource: String,
    /// The first of the documents.
    pub id: String,
    /// Why it was refused.
    pub said: String,
}

/// What one answer of an HTTP server means.
pub(super) enum Verdict {
    /// The endpoint did what was asked; its body has to be read.
    Done,
    /// Not now: 408, 429, 5xx.
    Passing,
    Refused(Error),
}

/// Longer texts are cut.
const MAX_SAID: usize = 1_000;

impl Answer {
    pub(super) fn new(server: &str, path: &str, status: StatusCode, said: &str) -> Self {
        let said = bounded(said.trim().to_owned(), MAX_SAID);
        Self { server: server.to_owned(), path: path.to_owned(), status: status.as_u16(), said }
    }

    /// What kind of answer this is, by its status and by whether it is a web page.
    pub(super) fn verdict(self, html: bool) -> Verdict {
        let refusal = match self.status {
            200..=299 => return Verdict::Done,
            408 | 429 | 500..=599 => return Verdict::Passing,
            // Glean's own way of refusing tokens and addresses may well be a page: it changes nothing.
            401 | 403 => Error::Unauthorized(self),
            // Whoever finds a request too large, in front of Glean or in it: a smaller one may pass.
            413 => Error::TooLarge(self),
            400 if !html => Error::BadRequest(self),
            409 if !html => Error::Conflict(self),
            _ => Error::NotGlean(self),
        };
        Verdict::Refused(refusal)
    }

    fn status(&self) -> String {
        StatusCode::from_u16(self.status)
            .map_or_else(|_| self.status.to_string(), |it| it.to_string())
    }

    /// `: ` and what it said, where it said something.
    fn colon(&self) -> String {
        if self.said.is_empty() { String::new() } else { format!(": {}", self.said) }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glean answered {} to {}{}", self.status(), self.path, self.colon())
    }
}

/// Whether a body is a web page, whatever else it claims to be.
pub(super) fn is_html(content_type: Option<&str>, body: &[u8]) -> bool {
    content_type.is_some_and(|of| of.trim_start().to_ascii_lowercase().starts_with("text/html"))
        || body.trim_ascii_start().starts_with(b"<")
}

/// Whether an answer says that Glean does not know this datasource. Glean does not describe the words,
/// so that several are known; but only such as say it of the datasource itself. "unknown field
/// `datasource`" does not, and "invalid datasource" may mean anything.
fn denies(said: &str, datasource: &str) -> bool {
    let name = regex::escape(datasource);
    let missing = r"(?:was |is |has )?(?:not found|not known|not registered|not been registered|unknown|does not exist|doesn't exist)";
    let words = format!(
        r#"(?i)data ?source:? (?:["'`]?{name}["'`]? )?{missing}|(?:unknown|no such|unregistered|could not find|cannot find) (?:the )?(?:custom )?data ?source\b"#
    );
    Regex::new(&words).is_ok_and(|words| words.is_match(said))
}

impl Error {
    /// The same, heard when Glean was asked about this datasource.
    pub(super) fn about(self, datasource: &str) -> Self {
        match self {
            Self::BadRequest(answer) if denies(&answer.said, datasource) => {
                Self::UnknownDatasource(answer)
            }
            other => other,
        }
    }

    /// The same, after so many tries in so much time.
    pub(super) fn after(mut self, tries: u32, lasted: Duration) -> Self {
        let (Self::Unreachable(Outage { what: said, .. }) | Self::NotGlean(Answer { said, .. })) =
            &mut self
        else {
            return self;
        };
        if tries > 1 {
            let lasted = humantime::format_duration(Duration::from_secs(lasted.as_secs().max(1)));
            said.push_str(&format!("; it was tried {tries} times in {lasted}"));
        }
        self
    }

    /// Whether Glean itself refused what was asked for, for good. A wrong token, an outage and a
    /// stranger's answer are no refusals of a document.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::BadRequest(_)
                | Self::TooLarge(_)
                | Self::Conflict(_)
                | Self::UnknownDatasource(_)
                | Self::RequestAtFault(_)
        )
    }

    /// The same, and what more follows from it.
    #[must_use]
    pub(super) fn and_besides(mut self, what: &str) -> Self {
        if let Self::BadRequest(answer) | Self::TooLarge(answer) = &mut self {
            let said = if answer.said.is_empty() { "" } else { "; " };
            answer.said = format!("{}{said}{what}", answer.said);
        }
        self
    }

    /// Glean's own words, or ours where it has none.
    pub fn said(&self) -> String {
        match self {
            Self::UnknownDatasource(answer)
            | Self::BadRequest(answer)
            | Self::TooLarge(answer)
            | Self::Conflict(answer)
            | Self::Unauthorized(answer)
            | Self::NotGlean(answer) => answer.said.clone(),
            Self::Unreachable(outage) => outage.what.clone(),
            Self::SessionLost(lost) => lost.said.clone(),
            Self::RequestAtFault(fault) => fault.said.clone(),
            Self::NotSent(failure) => failure.what.clone(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownDatasource(answer) => {
                write!(f, "Glean does not know the datasource{}", answer.colon())
            }
            Self::BadRequest(answer) => {
                write!(f, "Glean refused the request to {}{}", answer.path, answer.colon())
            }
            Self::TooLarge(answer) => {
                write!(f, "Glean finds the request too large{}", answer.colon())
            }
            Self::Conflict(answer) => answer.fmt(f),
            Self::Unauthorized(answer) => {
                write!(f, "Glean refused the token ({}){}", answer.status(), answer.colon())
            }
            Self::NotGlean(answer) => write!(
                f,
                "something that is not Glean answered {} to {}{}",
                answer.status(),
                answer.path,
                answer.colon()
            ),
            Self::Unreachable(outage) => f.write_str(&outage.what),
            Self::SessionLost(lost) if lost.late_copy => f.write_str(
                "the upload session was replaced: Glean carried out a request that had timed out",
            ),
            Self::SessionLost(_) => {
                f.write_str("the upload session was replaced or ended by another")
            }
            Self::RequestAtFault(fault) => write!(
                f,
                "Glean refused each document of a batch; the first reason: {}",
                fault.said
            ),
            Self::NotSent(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::NotSent(failure)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let what = error.to_string();
        let failure = |kind, at: &str| Self::new(kind, what.clone()).at(at);
        match &error {
            Error::UnknownDatasource(answer) => failure(Kind::Refused, &answer.server)
                .next("run a full crawl: it registers the datasource again"),
            Error::BadRequest(answer) => {
                failure(Kind::Refused, &answer.server).next("mend what it names")
            }
            Error::TooLarge(answer) => {
                failure(Kind::Refused, &answer.server).next("lower `batch_bytes` in [glean]")
            }
            Error::Conflict(answer) => failure(Kind::Refused, &answer.server)
                .next("let only one crawl upload to this datasource, and start this one again"),
            Error::Unauthorized(answer) => failure(Kind::Unauthorized, &answer.server).next(
                "set GLEAN_INDEXING_API_TOKEN to an indexing token that is not expired and whose \
                 scopes and IP list cover this datasource",
            ),
            Error::NotGlean(answer) => failure(Kind::Unreachable, &answer.server).next(
                "check `server_url` in [glean]: it is the address of Glean's backend; a proxy or a \
                 login page may be answering there",
            ),
            Error::Unreachable(outage) => failure(Kind::Unreachable, &outage.server)
                .next(
                    "check `server_url` in [glean], the network, and Glean's status; `sheaf doctor` \
                     tries it; `patience` in [glean] is how long it is waited for",
                )
                .retry_after(outage.retry_after),
            Error::SessionLost(lost) => {
                let at = format!("{}, upload {}", lost.datasource, lost.upload_id);
                let (kind, next) = if lost.late_copy {
                    (Kind::SessionLost, "start the crawl again: it begins a new session")
                } else {
                    let next = "let only one crawl upload to this datasource, and start this one again";
                    (Kind::Busy, next)
                };
                failure(kind, &at).next(next).detail(lost.said.clone())
            }
            Error::RequestAtFault(fault) => {
                failure(Kind::Refused, &format!("{}, document {}", fault.datasource, fault.id))
                    .next("mend what it names")
            }
            Error::NotSent(failure) => failure.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, content_type: &str, body: &str) -> Option<Error> {
        let html = is_html(Some(content_type), body.as_bytes());
        let status = StatusCode::from_u16(status).expect("a status");
        match Answer::new("http://glean", "/x", status, body).verdict(html) {
            Verdict::Done | Verdict::Passing => None,
            Verdict::Refused(error) => Some(error),
        }
    }

    #[test]
    fn a_status_that_glean_names_is_believed_and_everything_else_is_not_glean_s() {
        let text = "text/plain";
        assert!(matches!(verdict(400, text, "no title"), Some(Error::BadRequest(_))));
        assert!(matches!(verdict(409, text, "busy"), Some(Error::Conflict(_))));
        assert!(matches!(verdict(413, "text/html", "<h1>413"), Some(Error::TooLarge(_))));
        assert!(matches!(verdict(403, "text/html", "<h1>403"), Some(Error::Unauthorized(_))));
        for (status, of, body) in [
            (404, text, "the datasource \"x\" does not exist"),
            (400, "text/html; charset=utf-8", "The datasource x does not exist"),
            (400, text, " <!doctype html><p>the datasource does not exist"),
            (409, "Text/HTML", "<p>Conflict"),
            (302, text, ""),
            (405, text, ""),
            (410, text, ""),
            (418, text, "a teapot"),
        ] {
            assert!(
                matches!(verdict(status, of, body), Some(Error::NotGlean(_))),
                "{status} {body}"
            );
        }
        assert!(verdict(502, "text/html", "<h1>502").is_none());
    }

    #[test]
    fn only_words_about_the_datasource_itself_say_that_it_is_unknown() {
        for said in [
            "the datasource \"handbook\" does not exist: call /adddatasource first",
            "Datasource handbook not found",
            "{\"message\":\"Unknown datasource: handbook\"}",
            "No such custom datasource",
            "datasource is not registered",
            "Data source 'handbook' was not found.",
        ] {
            assert!(denies(said, "handbook"), "{said}");
        }
        for said in [
            "",
            "Bad Request",
            "unknown field `datasource`",
            "invalid datasource",
            "datasource category unknown is not allowed",
            "the datasource hand does not exist",
            "the document was not found in the datasource handbook",
            "datasource handbook: the group `hr` does not exist",
        ] {
            assert!(!denies(said, "handbook"), "{said}");
        }
    }
}

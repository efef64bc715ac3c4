//! `sheaf access NAME ID --as USER`: whether somebody may find a document, by which path, here and in Glean.

use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::context::Context;
use super::output::{Report, bounded_reason};
use crate::clock::Timestamp;
use crate::crawl::access::{Access, Answered, Here, Origin, Question};
use crate::crawl::elsewhere::Elsewhere;
use crate::crawl::explain::KnownDocument;
use crate::crawl::identities::{Person, Reason};
use crate::crawl::in_glean::InGlean;
use crate::failure::{Failure, Result};
use crate::text::short_line;

#[derive(ClapArgs)]
pub(super) struct Args {
    /// The connection in sheaf.toml.
    name: String,
    /// The document's id, or its address.
    id: String,
    /// Who: an e-mail, in whatever case, or the user's id in the source, of which each letter counts.
    #[arg(long = "as", value_name = "USER")]
    user: String,
    /// How long the source is read at most for who may read the document now; after that, and with `0s`, what was
    /// uploaded counts.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = humantime::parse_duration)]
    read_for: Duration,
}

/// For Glean: what is known here need not wait for it.
const PATIENCE: Duration = Duration::from_secs(3);
/// So much of an id is shown.
const LONGEST: usize = 1_000;

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let mut config = context.config()?;
    config.glean.patience = config.glean.patience.min(PATIENCE);
    let Args { name, id, user, read_for } = args;
    let user = user.trim().to_owned();
    if user.is_empty() {
        return Err(Failure::settings("`--as` names nobody").next("name an e-mail, or an id"));
    }
    let connection = config.connection(&name)?;
    let crawler = config.offline_crawler()?;
    let question = Question { connection: &connection, id: &id, user: &user, read_for };
    let nothing = |summary: String, next: String, known: Option<&KnownDocument>| {
        let text = format!("{summary}\n  next: {next}");
        let asked = json!({ "asked": user, "email": null, "id": null, "active": null });
        let result = json!({
            "connection": name, "datasource": connection.datasource, "id": id,
            "document": known, "user": asked, "here": null, "glean": null, "differs": null,
            "reasons": [], "beside": [], "since": null,
        });
        Report::new(summary, result).text(text).exit_code(1)
    };
    Ok(match Box::pin(crawler.access(&question)).await? {
        Access::NoDocument(elsewhere) => {
            let next = format!(
                "see whether the connector delivers it: `sheaf preview {name}`, and the connection's settings for what \
                 is left out"
            );
            let unseen = format!("{name}: no crawl has seen `{}`", short_line(&id, LONGEST));
            match elsewhere {
                Some(elsewhere) => unseen_here(nothing, &unseen, &next, &user, *elsewhere),
                None => nothing(unseen, next, None),
            }
        }
        Access::NoUser(document) => nothing(
            format!(
                "{name}: `{}` is no e-mail, and nobody's id among the users that Glean was told of; each letter of an \
                 id counts, small or not",
                short_line(&user, LONGEST)
            ),
            format!("ask by e-mail; or tell Glean of who is new: `sheaf sync {name} --identities`"),
            Some(&document),
        ),
        Access::Answered(answered) => report(&name, &user, *answered, context.verbose),
    })
}

/// Nothing is known of the document here; what Glean says is the answer.
fn unseen_here(
    nothing: impl Fn(String, String, Option<&KnownDocument>) -> Report,
    unseen: &str,
    next: &str,
    asked: &str,
    elsewhere: Elsewhere,
) -> Report {
    let Elsewhere { person, object_type, is_missing, said } = elsewhere;
    let who = person.name();
    let known = |said: Option<&InGlean>| said.and_then(|said| *said.allowed.as_ref().ok()?);
    let allowed = known(said.as_ref().ok());
    let (summary, next) = match (&said, object_type.is_some(), allowed) {
        (Ok(_), false, _) if is_missing => {
            (format!("{unseen}, and Glean does not have it"), next.to_owned())
        }
        (Err(_), ..) | (Ok(_), false, _) => {
            (format!("{unseen}; whether Glean has it is not known"), next.to_owned())
        }
        (Ok(_), true, allowed) => {
            let may = match allowed {
                Some(true) => format!("and {who} may read it"),
                Some(false) => format!("and {who} may not read it"),
                None => format!("and it is not known whether {who} may read it"),
            };
            let next = format!("look at what else tells Glean of this datasource; or {next}");
            (format!("{unseen}; Glean has it all the same, {may}"), next)
        }
    };
    let report = nothing(summary, next, None).with("user", user(asked, &person));
    match said {
        Err(failure) => report.failure(failure),
        Ok(said) => {
            let report =
                report.with("glean", in_glean(&said)).with("object_type", json!(object_type));
            match said.allowed {
                Err(failure) => report.failure(failure),
                Ok(allowed) if object_type.is_some() && allowed.is_some() => report.exit_code(0),
                Ok(_) => report,
            }
        }
    }
}

fn user(asked: &str, person: &Person) -> Value {
    json!({ "asked": asked, "email": person.email, "id": person.id, "active": person.active })
}

fn in_glean(InGlean { allowed, document, user, .. }: &InGlean) -> Value {
    json!({
        "allowed": allowed.as_ref().ok(),
        "document": document.as_ref().ok(),
        "user": user.as_ref().and_then(|user| user.as_ref().ok()),
        "why_not": allowed.as_ref().err().map(ToString::to_string),
    })
}

fn report(name: &str, asked: &str, answered: Answered, verbose: u8) -> Report {
    let (who, what) = (answered.person.name(), short_line(&answered.document.id, LONGEST));
    let (here, in_glean) = (answered.here.verdict.allowed, answered.in_glean());
    let summary = if answered.differs() {
        format!("{name}: here {}, in Glean {}: {who} and {what}", word(here), word(in_glean))
    } else {
        match here.or(in_glean) {
            Some(true) => format!("{name}: yes, {who} may read {what}"),
            Some(false) => format!("{name}: no, {who} may not read {what}"),
            None => format!("{name}: it is not known whether {who} may read {what}"),
        }
    };
    let text = format!("{summary}\n{}", text(&answered, verbose));
    let result = result(name, asked, &answered);
    let is_known = here.or(in_glean).is_some();
    let report = Report::new(summary, result).text(text);
    match answered.glean.map(|said| said.allowed) {
        // Half an answer.
        Some(Err(failure)) => report.failure(failure),
        _ if is_known => report,
        _ => report.exit_code(1),
    }
}

fn word(allowed: Option<bool>) -> &'static str {
    match allowed {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not known",
    }
}

fn text(answered: &Answered, verbose: u8) -> String {
    let Answered { here, glean, reasons, beside, .. } = answered;
    let mut text = format!("  here       {}: {}\n", word(here.verdict.allowed), here.verdict.why);
    text.push_str(&match glean {
        None => "  Glean      not asked: no Glean is configured\n".to_owned(),
        Some(InGlean { allowed: Err(failure), .. }) => {
            format!("  Glean      not known: {}\n", bounded_reason(&failure.to_string(), verbose))
        }
        Some(InGlean { allowed: Ok(None), .. }) => {
            "  Glean      not asked: it knows people by e-mail, and this one's is not known\n"
                .into()
        }
        Some(said @ InGlean { allowed: Ok(allowed @ Some(may)), .. }) => {
            let is_missing = !may && said.is_missing();
            let note = if is_missing { ": it does not have the document" } else { "" };
            format!("  Glean      {}{note}\n", word(*allowed))
        }
    });
    let told = |(label, reason): (&str, &Reason)| {
        let Reason { what, next } = reason;
        format!("  {label:<9}  {}\n    next: {next}\n", bounded_reason(what, verbose))
    };
    text.extend(reasons.iter().map(|reason| ("probably", reason)).map(told));
    text.extend(beside.iter().map(|reason| ("besides", reason)).map(told));
    text.push_str(&since(answered, verbose));
    text
}

/// What Glean was told, and when.
fn since(answered: &Answered, verbose: u8) -> String {
    let Answered { document, here, told_at, as_of, .. } = answered;
    let mut text = "  document   ".to_owned();
    match here.from {
        Some(Origin::Source) => text.push_str("who may read it is as the source has it now; "),
        Some(Origin::Uploaded) => text.push_str("who may read it is as it was uploaded; "),
        None => {}
    }
    text.push_str(&format!("last crawled {}", document.seen));
    if let Some(at) = uploaded_at(answered) {
        text.push_str(&format!(", last uploaded {at}"));
    }
    if let Some(why) = &here.not_from_source {
        text.push_str(&format!("\n             {}", bounded_reason(why, verbose)));
    }
    text.push_str("\n  people     ");
    match (told_at, as_of) {
        (None, _) => text.push_str("Glean was told of no users and groups by this connection"),
        (Some(told), None) => text.push_str(&format!("as Glean was told until {told}")),
        (Some(told), Some(as_of)) => {
            text.push_str(&format!(
                "as Glean was told until {told}; read and told as a whole as of {as_of}"
            ));
        }
    }
    text
}

fn uploaded_at(answered: &Answered) -> Option<&str> {
    let Some(InGlean { document: Ok(document), .. }) = &answered.glean else { return None };
    document.last_uploaded_at.as_deref()
}

fn result(name: &str, asked: &str, answered: &Answered) -> Value {
    let Answered { document, person, here, glean, reasons, beside, told_at, as_of, .. } = answered;
    let Here { verdict, allowed, from, not_from_source } = here;
    let said = glean.as_ref().map(in_glean);
    let time = |at: &Option<Timestamp>| at.map(|at| at.to_string());
    json!({
        "connection": name,
        "datasource": answered.datasource,
        "id": document.id,
        "document": document,
        "user": user(asked, person),
        "here": {
            "allowed": verdict.allowed,
            "why": verdict.why,
            "paths": verdict.paths,
            "undefined_groups": verdict.undefined,
            "permissions": allowed,
            "permissions_from": from,
            "not_from_source": not_from_source,
        },
        "glean": said,
        "differs": answered.differs(),
        "reasons": reasons,
        "beside": beside,
        "since": {
            "seen": document.seen,
            "upload_id": document.upload_id,
            "uploaded_at": uploaded_at(answered),
            "identities_told": time(told_at),
            "identities_as_of": time(as_of),
        },
    })
}

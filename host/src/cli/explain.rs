//! `sheaf explain NAME ID`: all that is known of one document, here and in Glean.

use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::context::Context;
use super::output::Report;
use crate::crawl::explain::Fate;
use crate::crawl::explain::{Explanation, KnownDocument};
use crate::failure::Result;
use crate::text::short_line;

#[derive(ClapArgs)]
pub(super) struct Args {
    /// The connection in sheaf.toml.
    name: String,
    /// The document's id, or its address.
    id: String,
}

const PATIENCE: Duration = Duration::from_secs(3);
/// So much of an id, a title or a reason is shown.
const LONGEST: usize = 1_000;

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let mut config = context.config()?;
    // What the ledger says need not wait for Glean.
    config.glean.patience = config.glean.patience.min(PATIENCE);
    let Args { name, id } = args;
    let connection = config.connection(&name)?;
    let crawler = config.offline_crawler()?;
    let explained = crawler.explain(&name, &connection.datasource, &id).await?;
    let Some(Explanation { document, glean }) = explained else {
        let summary = format!("{name}: no crawl has seen `{id}`");
        let text = format!(
            "{summary}\n  next: see whether the connector delivers it: `sheaf preview {name}`, and \
             the connection's settings for what is left out"
        );
        let result = json!({ "id": id, "known": null, "glean": null });
        return Ok(Report::new(summary, result).text(text).exit_code(1));
    };
    let mut text = format!("{name}: {}", text(&document));
    let said = |status: &Value, key: &str| status["status"][key].as_str().unwrap_or("?").to_owned();
    text.push_str(&match &glean {
        Ok(status) => {
            let at = status["status"]["lastUploadedAt"].as_str();
            let at = at.map_or_else(String::new, |at| format!(", last uploaded {at}"));
            format!(
                "\n  Glean      {}, {}{at}",
                said(status, "uploadStatus"),
                said(status, "indexingStatus")
            )
        }
        Err(why) => format!("\n  Glean      not asked: {why}"),
    });
    let summary = format!("{id}: {}", document.state);
    let result = json!({ "id": id, "known": document, "glean": glean.ok() });
    Ok(Report::new(summary, result).text(text))
}

/// What the ledger says of a document.
pub(super) fn text(document: &KnownDocument) -> String {
    let KnownDocument { id, object_type, title, seen, upload_id, scope, page, hash, .. } = document;
    let upload = upload_id.as_ref().map_or_else(String::new, |upload| format!(", upload {upload}"));
    let [id, object_type, title, scope] =
        [id, object_type, title, scope].map(|text| short_line(text, LONGEST));
    let kind = if object_type.is_empty() { "of a type unknown" } else { &object_type };
    let reason = short_line(&document.reason, LONGEST);
    let state = match (document.state, document.in_glean, reason.as_str()) {
        (Fate::Deleted, _, "") => "deleted".to_owned(),
        (Fate::Deleted, _, reason) => reason.to_owned(),
        (Fate::Uploaded, _, "") => "yes".to_owned(),
        (Fate::Uploaded, _, reason) => format!("yes, but {reason}"),
        (Fate::Quarantined, true, reason) => {
            format!("quarantined: {reason}; Glean has an older version")
        }
        (Fate::Quarantined, false, reason) => format!("quarantined: {reason}"),
    };
    format!(
        "{id} ({kind})\n  title      {title}\n  seen       {seen}, page {page} of scope `{scope}`\
         {upload}\n  hash       {hash}\n  uploaded   {state}"
    )
}

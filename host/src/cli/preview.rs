//! `sheaf preview NAME`: the first documents, as they would be uploaded.

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::{Context, Report};
use crate::connector::model::{Access, Body, Crawl, Document, Mode, PageLimits, Progress};
use crate::crawl::{Crawler, Rules};
use crate::failure::{Failure, Result, bounded};
use crate::glean::wire::DocumentDefinition;
use crate::observe::numbers::{bytes, count};

#[derive(ClapArgs)]
pub struct Args {
    /// The connection in sheaf.toml.
    name: String,
    /// How many documents to show.
    #[arg(short, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    number: u32,
    /// Only this scope, by its id.
    #[arg(long)]
    scope: Option<String>,
}

pub async fn run(args: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    let connection = config.connection(&args.name)?;
    let crawler = Crawler::offline(config)?;
    let connector = crawler.registry.find(&connection.connector).await?;
    let mut guest = crawler.start(&connection, &connector).await?;
    let rules = Rules::of(&guest.datasource().await?);
    let mut scopes: Vec<_> = guest.scopes().await?.into_iter().map(|scope| scope.id).collect();
    if let Some(wanted) = args.scope {
        if !scopes.contains(&wanted) {
            return Err(Failure::settings(format!("there is no scope `{wanted}`"))
                .at(args.name)
                .next(format!("it has: {}", scopes.join(", "))));
        }
        scopes = vec![wanted];
    }
    let wanted = args.number as usize;
    let mut shown = Vec::new();
    let mut unreadable = Vec::new();
    for scope in scopes {
        let guest = crawler.start(&connection, &connector).await?;
        let mut cursor = guest.open(Crawl { mode: Mode::Full, scope, resume: None }).await?;
        while shown.len() < wanted {
            let left = u32::try_from(wanted - shown.len()).unwrap_or(u32::MAX);
            let limits = PageLimits {
                documents: left.min(connection.limits.page_documents),
                bytes: connection.limits.page_bytes,
            };
            let page = cursor.next(limits).await?;
            shown.extend(page.documents);
            unreadable.extend(page.unreadable);
            if !matches!(page.progress, Progress::More(_)) {
                break;
            }
        }
        if shown.len() >= wanted {
            break;
        }
    }
    shown.truncate(wanted);
    let mut text = String::new();
    for document in &shown {
        text.push_str(&describe(document, rules.broken(document).as_deref()));
    }
    for found in unreadable.iter().take(5) {
        let id = found.id.as_deref().unwrap_or("?");
        text.push_str(&format!("✗ {id}\n    cannot be read: {}\n", found.reason));
    }
    let summary = format!(
        "{} from {} {}; nothing was uploaded",
        count(shown.len() as u64, "document"),
        connector.manifest.name,
        connector.manifest.version
    );
    text.push_str(&summary);
    let documents: Vec<Value> = shown
        .iter()
        .map(|document| {
            let wire = DocumentDefinition::new(&connection.datasource, document);
            json!({ "document": wire, "problem": rules.broken(document) })
        })
        .collect();
    Ok(Report::new(summary, json!({ "documents": documents })).text(text))
}

fn describe(document: &Document, problem: Option<&str>) -> String {
    let mark = if problem.is_some() { '✗' } else { '•' };
    let title = document.title.as_deref().unwrap_or("(no title)");
    let mut text = format!("{mark} {}\n    {title}\n    {}\n", document.id, document.view_url);
    let access = match &document.access {
        Access::Everyone => "everyone".to_owned(),
        Access::SourceUsers => "all users of the datasource".to_owned(),
        Access::Unknown => "nobody: the connector does not know".to_owned(),
        Access::Restricted(to) => format!(
            "{}, {}",
            count(to.users.len() as u64, "user"),
            count((to.groups.len() + to.group_intersections.len()) as u64, "group")
        ),
    };
    let body = match document.body.as_ref() {
        None => "no body".to_owned(),
        Some(content) => {
            let size = match &content.body {
                Body::Text(text) => text.len(),
                Body::Binary(bytes) => bytes.len(),
            };
            format!("{}, {}", content.mime_type, bytes(size as u64))
        }
    };
    text.push_str(&format!("    {} · {body} · seen by {access}\n", document.object_type));
    if let Some(Body::Text(body)) = document.body.as_ref().map(|content| &content.body) {
        let start: String = body.split_whitespace().take(25).collect::<Vec<_>>().join(" ");
        text.push_str(&format!("    “{}”\n", bounded(start, 160)));
    }
    if let Some(problem) = problem {
        text.push_str(&format!("    would be set aside: {problem}\n"));
    }
    text
}

//! `sheaf preview NAME`: the first documents, as they would be uploaded.

use std::collections::HashSet;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::{Context, Report};
use crate::config::Connection;
use crate::connector::Connector;
use crate::crawl::loop_detector::DOUBLE;
use crate::crawl::{Counts, Crawler, Rules};
use crate::document::key;
use crate::document::{Access, Body, Crawl, Document, Mode, PageLimits, Progress, Unreadable};
use crate::failure::{Failure, Result};
use crate::glean::wire::DocumentDefinition;
use crate::text::{bounded, bytes, count};

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
    let mut seen = Seen { most: crawler.config.window.document_bytes, ..Seen::new(rules) };
    let mut failure = None;
    for scope in scopes {
        let read = read(&crawler, &connection, &connector, &scope, wanted, &mut seen).await;
        failure = read.err();
        if failure.is_some() || seen.documents.len() >= wanted {
            break;
        }
    }
    let mut text = String::new();
    for (document, verdict) in &seen.documents {
        text.push_str(&describe(document, verdict));
    }
    for found in seen.unreadable.iter().take(UNREADABLE) {
        let id = found.id.as_deref().or(found.view_url.as_deref()).unwrap_or("?");
        text.push_str(&format!("✗ {id}\n    would be set aside: {}\n", found.reason));
    }
    let more = seen.unreadable.len().saturating_sub(UNREADABLE);
    if more > 0 {
        text.push_str(&format!("✗ … and {more} more that cannot be read\n"));
    }
    let aside = seen.documents.iter().filter(|(_, verdict)| verdict.problem.is_some()).count()
        + seen.unreadable.len();
    let mut summary = format!(
        "{} from {} {}",
        count(seen.documents.len() as u64, "document"),
        connector.manifest.name,
        connector.manifest.version
    );
    if aside > 0 {
        summary.push_str(&format!(", {aside} would be set aside"));
    }
    summary.push_str("; nothing was uploaded");
    let counts = Counts {
        documents: seen.documents.len().saturating_sub(aside) as u64,
        quarantined: aside as u64,
        ..Counts::default()
    };
    if let Err(stopped) = connection.quarantine.check(&counts) {
        text.push_str(&format!("`sync` would stop there: {}\n", stopped.what));
    }
    text.push_str(&summary);
    let documents: Vec<Value> = seen
        .documents
        .iter()
        .map(|(document, verdict)| {
            let wire = DocumentDefinition::new(&connection.datasource, document);
            json!({ "document": wire, "problem": verdict.problem, "note": verdict.note })
        })
        .collect();
    let unreadable: Vec<_> = seen
        .unreadable
        .iter()
        .map(|found| json!({ "id": found.id, "url": found.view_url, "reason": found.reason }))
        .collect();
    let result = json!({ "documents": documents, "unreadable": unreadable });
    let report = Report::new(summary, result).text(text);
    // What was read before a failure is shown all the same.
    Ok(match failure {
        Some(failure) => report.failure(failure),
        None => report,
    })
}

/// Unreadable documents that are named.
const UNREADABLE: usize = 5;

/// What `sync` would do with a document.
struct Verdict {
    /// Why it would be set aside.
    problem: Option<String>,
    /// What is odd about it, though it would be uploaded.
    note: Option<String>,
}

/// What was read so far, judged as a crawl judges it.
struct Seen {
    rules: Rules,
    /// A full crawl delivers an id once, over all its scopes.
    ids: HashSet<u128>,
    most: usize,
    documents: Vec<(Document, Verdict)>,
    unreadable: Vec<Unreadable>,
}

impl Seen {
    fn new(rules: Rules) -> Self {
        let (documents, unreadable) = (Vec::new(), Vec::new());
        Self { rules, ids: HashSet::new(), most: 0, documents, unreadable }
    }

    fn push(&mut self, datasource: &str, document: Document) {
        let double = !document.id.is_empty() && !self.ids.insert(key(&document.id));
        let size = || {
            let wire = DocumentDefinition::new(datasource, &document);
            serde_json::to_vec(&wire).map_or(usize::MAX, |encoded| encoded.len())
        };
        let problem = self.rules.broken(&document).or_else(|| {
            if double {
                return Some(DOUBLE.to_owned());
            }
            let size = Some(size()).filter(|size| *size > self.most)?;
            Some(format!("it has {size} bytes as JSON, and {} is the most", self.most))
        });
        let note = self.rules.odd(&document);
        self.documents.push((document, Verdict { problem, note }));
    }
}

/// Reads a scope until there are enough documents.
async fn read(
    crawler: &Crawler,
    connection: &Connection,
    connector: &Connector,
    scope: &str,
    wanted: usize,
    seen: &mut Seen,
) -> Result<()> {
    let guest = crawler.start(connection, connector).await?;
    let crawl = Crawl { mode: Mode::Full, scope: scope.to_owned(), resume: None };
    let mut cursor = guest.open(crawl).await?;
    while seen.documents.len() < wanted {
        let left = wanted - seen.documents.len();
        let limits = PageLimits {
            documents: u32::try_from(left)
                .unwrap_or(u32::MAX)
                .min(connection.limits.page_documents),
            bytes: connection.limits.page_bytes,
        };
        let page = cursor.next(limits).await?;
        for document in page.documents.into_iter().take(left) {
            seen.push(&connection.datasource, document);
        }
        seen.unreadable.extend(page.unreadable);
        if !matches!(page.progress, Progress::More(_)) {
            break;
        }
    }
    Ok(())
}

fn describe(document: &Document, verdict: &Verdict) -> String {
    let mark = if verdict.problem.is_some() { '✗' } else { '•' };
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
    match (&verdict.problem, &verdict.note) {
        (Some(problem), _) => text.push_str(&format!("    would be set aside: {problem}\n")),
        (None, Some(note)) => text.push_str(&format!("    would be uploaded, but {note}\n")),
        (None, None) => {}
    }
    text
}

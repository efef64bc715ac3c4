//! A Sheaf connector in Rust: ten greetings, a few to a page.
use serde::Deserialize;
use sheaf_sdk::{
    schemars::{self, JsonSchema},
    *,
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// What every document says.
    greeting: Option<String>,
}

struct Hello;

impl Connector for Hello {
    type Settings = Settings;
    type Cursor = Greetings;

    fn manifest() -> Manifest {
        Manifest::new("rust-hello", "0.1.0", "Ten greetings, to start your own connector from.")
    }

    fn datasource(_: &Settings) -> Result<Datasource> {
        Ok(Datasource::new("Rust Hello", category::KNOWLEDGE_HUB, r"https://example\.com/hello/.*")
            .object("Greeting", category::KNOWLEDGE_HUB))
    }

    fn open(settings: Settings, crawl: Crawl) -> Result<Greetings> {
        let next = crawl.resume.map_or(Ok(1), |place| place.parse()).context("the checkpoint")?;
        log::info!("reading greetings from {next}");
        Ok(Greetings { greeting: settings.greeting.unwrap_or("Hello".into()), next })
    }
}

struct Greetings {
    greeting: String,
    next: u32,
}

impl Cursor for Greetings {
    fn next(&mut self, limits: Limits) -> Result<Page> {
        let end = (self.next + limits.documents.min(4)).min(11);
        let documents = (self.next..end)
            .map(|n| {
                Document::new(
                    format!("hello-{n}"),
                    "Greeting",
                    format!("https://example.com/hello/{n}"),
                    Access::Everyone,
                )
                .title(format!("{} {n}", self.greeting))
                .text(format!("{} from document {n}.", self.greeting))
                .updated_at(1_767_225_600)
            })
            .collect();
        self.next = end;
        Ok(if end < 11 {
            Page::more(documents, end.to_string())
        } else {
            Page::complete(documents, None)
        })
    }
}

export!(Hello);

//! Contract 0.1.0: its bindings, and their conversion into the host's model. Frozen once released.

use std::borrow::Cow;
use std::sync::PoisonError;
use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker, ResourceAny};

use super::guest::{MAX_CHECKPOINT_BYTES, State};
use crate::document as model;
use crate::redact::redact;
use crate::sandbox::output::Level;
use crate::sandbox::policy::Pattern;
use crate::text::bounded;

mod wit {
    wasmtime::component::bindgen!({
        path: "../wit/0.1.0",
        world: "document-connector",
        exports: { default: async },
    });
}

use wit::exports::sheaf::connector::{connector, documents};
use wit::sheaf::connector::{base, document, host};

pub fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    host::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

impl host::Host for State {
    fn settings(&mut self) -> String {
        self.settings.to_string()
    }

    fn credential(&mut self, name: String) -> Result<String, String> {
        self.stand_in(&name)
    }

    fn log(&mut self, level: host::Level, message: String, fields: Vec<(String, String)>) {
        let level = match level {
            host::Level::Trace => Level::Trace,
            host::Level::Debug => Level::Debug,
            host::Level::Info => Level::Info,
            host::Level::Warn => Level::Warn,
            host::Level::Error => Level::Error,
        };
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.line(level, &message, &fields);
    }
}

/// A component whose types were checked, ready to be instantiated.
pub struct Pre(wit::DocumentConnectorPre<State>);

impl Pre {
    pub fn new(pre: InstancePre<State>) -> wasmtime::Result<Self> {
        wit::DocumentConnectorPre::new(pre).map(Self)
    }

    pub async fn instantiate_async(&self, store: &mut Store<State>) -> wasmtime::Result<Bindings> {
        self.0.instantiate_async(store).await.map(Bindings)
    }
}

/// A guest's exports.
pub struct Bindings(wit::DocumentConnector);

type Faulty<T> = wasmtime::Result<Result<T, model::Fault>>;

impl Bindings {
    /// The manifest, or in one sentence what is wrong with it.
    pub async fn describe(
        &self,
        store: &mut Store<State>,
    ) -> wasmtime::Result<Result<model::Manifest, String>> {
        let manifest = self.0.sheaf_connector_connector().call_describe(store).await?;
        Ok(convert_manifest(manifest))
    }

    pub async fn datasource(&self, store: &mut Store<State>) -> Faulty<String> {
        let answer = self.0.sheaf_connector_connector().call_datasource(store).await?;
        Ok(answer.map_err(Into::into))
    }

    pub async fn check(&self, store: &mut Store<State>) -> Faulty<String> {
        let answer = self.0.sheaf_connector_connector().call_check(store).await?;
        Ok(answer.map_err(Into::into))
    }

    pub async fn scopes(&self, store: &mut Store<State>) -> Faulty<Vec<model::Scope>> {
        let answer = self.0.sheaf_connector_documents().call_scopes(store).await?;
        Ok(answer.map(|scopes| scopes.into_iter().map(Into::into).collect()).map_err(Into::into))
    }

    pub async fn open(&self, store: &mut Store<State>, crawl: model::Crawl) -> Faulty<ResourceAny> {
        let crawl = documents::Crawl {
            mode: convert_mode(&crawl.mode),
            scope: crawl.scope,
            resume: crawl.resume,
        };
        let answer = self.0.sheaf_connector_documents().call_open(store, &crawl).await?;
        Ok(answer.map_err(Into::into))
    }

    pub async fn next(
        &self,
        store: &mut Store<State>,
        cursor: ResourceAny,
        limits: model::PageLimits,
    ) -> Faulty<model::Page> {
        let limits = documents::Limits { documents: limits.documents, bytes: limits.bytes };
        let answer =
            self.0.sheaf_connector_documents().cursor().call_next(store, cursor, limits).await?;
        Ok(match answer {
            Ok(page) => convert_page(page),
            Err(fault) => Err(fault.into()),
        })
    }
}

fn convert_manifest(manifest: connector::Manifest) -> Result<model::Manifest, String> {
    let named = !manifest.name.is_empty()
        && manifest.name.len() <= 64
        && manifest.name.split('-').all(|word| {
            !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        });
    if !named {
        return Err("its name must be lower-case words joined by hyphens".into());
    }
    let settings_schema = match manifest.settings_schema.trim() {
        "" => serde_json::json!({ "type": "object", "additionalProperties": false }),
        text => serde_json::from_str(text)
            .map_err(|error| format!("its settings schema is not JSON: {error}"))?,
    };
    check_schema(&settings_schema)?;
    for host in &manifest.hosts {
        let setting = host.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        match setting {
            Some(setting) if is_name(setting.replace('.', "").as_str()) => {}
            Some(_) => return Err(format!("it asks for the host `{}`", line(host))),
            None => drop(
                host.parse::<Pattern>()
                    .map_err(|why| format!("it asks for the host `{}`: {why}", line(host)))?,
            ),
        }
    }
    if let Some(asked) = manifest.credentials.iter().find(|asked| !is_name(&asked.name)) {
        return Err(format!("`{}` is not a credential's name", line(&asked.name)));
    }
    Ok(model::Manifest {
        name: manifest.name,
        version: line(&manifest.version),
        description: line(&manifest.description),
        settings_schema,
        hosts: manifest.hosts,
        credentials: manifest
            .credentials
            .into_iter()
            .map(|asked| model::CredentialRequest {
                name: asked.name,
                purpose: line(&asked.purpose),
            })
            .collect(),
        incremental: manifest.incremental,
        folders: manifest.folders.as_deref().map(line),
    })
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// One line that can be shown anywhere.
fn line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    bounded(clean, 500)
}

/// What takes a moment to describe may take for ever to check: a schema that refers to itself, or to
/// others that refer to others, is refused before anything is checked by it.
fn check_schema(schema: &serde_json::Value) -> Result<(), String> {
    fn walk<'a>(
        value: &'a serde_json::Value,
        whole: &'a serde_json::Value,
        within: &mut Vec<&'a str>,
        left: &mut usize,
    ) -> Result<(), String> {
        *left = left.checked_sub(1).ok_or("its settings schema is too large")?;
        let fields = match value {
            serde_json::Value::Array(values) => {
                return values.iter().try_for_each(|value| walk(value, whole, within, left));
            }
            serde_json::Value::Object(fields) => fields,
            _ => return Ok(()),
        };
        for (name, value) in fields {
            match (name.as_str(), value.as_str()) {
                ("$ref", Some(to)) => {
                    if within.contains(&to) {
                        return Err(format!(
                            "its settings schema refers to itself at `{}`",
                            line(to)
                        ));
                    }
                    let target = to.strip_prefix('#').and_then(|to| whole.pointer(to));
                    let target = target.ok_or_else(|| {
                        format!("its settings schema refers to `{}`, which is not in it", line(to))
                    })?;
                    within.push(to);
                    walk(target, whole, within, left)?;
                    within.pop();
                }
                ("$dynamicRef" | "$recursiveRef", _) => {
                    return Err(format!("its settings schema uses `{name}`"));
                }
                // They are walked through where they are referred to.
                ("$defs" | "definitions", _) => {}
                _ => walk(value, whole, within, left)?,
            }
        }
        Ok(())
    }
    walk(schema, schema, &mut Vec::new(), &mut 20_000)
}

fn convert_mode(mode: &model::Mode) -> documents::Mode {
    match mode {
        model::Mode::Full => documents::Mode::Full,
        model::Mode::Incremental { bookmark } => documents::Mode::Incremental(bookmark.clone()),
    }
}

fn convert_page(page: documents::Page) -> Result<model::Page, model::Fault> {
    let small = |what: &str, text: String| {
        let message = if text.len() > MAX_CHECKPOINT_BYTES {
            format!("its {what} has {} bytes, and 65536 is the most", text.len())
        } else if matches!(redact(&text), Cow::Owned(_)) {
            // A host has told it: it must not get into the state.
            format!("its {what} holds a credential")
        } else {
            return Ok(text);
        };
        Err(model::Fault { remedy: model::Remedy::GiveUp, message, retry_after: None })
    };
    let clean = |text: String| redact(&text).into_owned();
    Ok(model::Page {
        progress: match page.progress {
            documents::Progress::More(checkpoint) => {
                model::Progress::More(small("checkpoint", checkpoint)?)
            }
            documents::Progress::Complete(bookmark) => model::Progress::Complete(
                bookmark.map(|bookmark| small("bookmark", bookmark)).transpose()?,
            ),
            documents::Progress::Partial(reason) => model::Progress::Partial(clean(reason)),
        },
        documents: page.documents.into_iter().map(Into::into).collect(),
        deleted: page.deleted.into_iter().map(Into::into).collect(),
        access_changes: page
            .access_changes
            .into_iter()
            .map(|change| model::AccessChange {
                document: change.target.into(),
                access: change.access.into(),
            })
            .collect(),
        unreadable: page
            .unreadable
            .into_iter()
            .map(|found| model::Unreadable {
                id: found.id.map(clean),
                view_url: found.view_url.map(clean),
                reason: clean(found.reason),
            })
            .collect(),
    })
}

impl From<base::Fault> for model::Fault {
    fn from(fault: base::Fault) -> Self {
        Self {
            remedy: match fault.remedy {
                base::Remedy::FixSettings => model::Remedy::FixSettings,
                base::Remedy::Reauthenticate => model::Remedy::Reauthenticate,
                base::Remedy::Retry => model::Remedy::Retry,
                base::Remedy::StartOver => model::Remedy::StartOver,
                base::Remedy::GiveUp => model::Remedy::GiveUp,
            },
            message: fault.message,
            retry_after: fault.retry_after.map(|seconds| Duration::from_secs(seconds.into())),
        }
    }
}

impl From<documents::Scope> for model::Scope {
    fn from(scope: documents::Scope) -> Self {
        Self {
            id: redact(&scope.id).into_owned(),
            title: redact(&scope.title).into_owned(),
            documents: scope.documents,
        }
    }
}

impl From<document::DocumentRef> for model::DocumentRef {
    fn from(found: document::DocumentRef) -> Self {
        Self { id: found.id, object_type: found.object_type }
    }
}

impl From<document::UserRef> for model::UserRef {
    fn from(user: document::UserRef) -> Self {
        Self { email: user.email, id: user.id, name: user.name }
    }
}

impl From<document::Access> for model::Access {
    fn from(access: document::Access) -> Self {
        match access {
            document::Access::Everyone => Self::Everyone,
            document::Access::SourceUsers => Self::SourceUsers,
            document::Access::Restricted(to) => Self::Restricted(model::Restricted {
                users: to.users.into_iter().map(Into::into).collect(),
                groups: to.groups,
                group_intersections: to.group_intersections,
            }),
            document::Access::Unknown => Self::Unknown,
        }
    }
}

impl From<document::Content> for model::Content {
    fn from(content: document::Content) -> Self {
        Self {
            mime_type: content.mime_type,
            body: match content.data {
                document::Data::Text(text) => model::Body::Text(text),
                document::Data::Binary(bytes) => model::Body::Binary(bytes),
            },
        }
    }
}

impl From<document::Property> for (String, model::PropertyValue) {
    fn from(property: document::Property) -> Self {
        let value = match property.value {
            document::PropertyValue::Text(text) => model::PropertyValue::Text(text),
            document::PropertyValue::Integer(number) => model::PropertyValue::Integer(number),
            document::PropertyValue::Texts(texts) => model::PropertyValue::Texts(texts),
        };
        (property.name, value)
    }
}

impl From<document::Comment> for model::Comment {
    fn from(comment: document::Comment) -> Self {
        Self {
            id: comment.id,
            author: comment.author.map(Into::into),
            content: comment.content.into(),
            created_at: comment.created_at,
            updated_at: comment.updated_at,
        }
    }
}

impl From<document::Document> for model::Document {
    fn from(document: document::Document) -> Self {
        Self {
            id: document.id,
            object_type: document.object_type,
            view_url: document.view_url,
            access: document.access.into(),
            title: document.title,
            filename: document.filename,
            body: document.body.map(Into::into),
            summary: document.summary.map(Into::into),
            container: document.container.map(|container| model::Container {
                name: container.name,
                id: container.id,
                object_type: container.object_type,
            }),
            author: document.author.map(Into::into),
            owner: document.owner.map(Into::into),
            created_at: document.created_at,
            updated_at: document.updated_at,
            updated_by: document.updated_by.map(Into::into),
            tags: document.tags,
            status: document.status,
            comments: document.comments.into_iter().map(Into::into).collect(),
            interactions: document.interactions.map(|seen| model::Interactions {
                views: seen.views,
                likes: seen.likes,
                comments: seen.comments,
            }),
            additional_urls: document.additional_urls,
            native_app_url: document.native_app_url,
            properties: document.properties.into_iter().map(Into::into).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_that_would_be_checked_for_ever_is_refused() {
        let mut bomb = json!({ "$ref": "#/$defs/d0", "$defs": { "d40": { "type": "object" } } });
        for depth in 0..40 {
            let to = json!({ "$ref": format!("#/$defs/d{}", depth + 1) });
            bomb["$defs"][format!("d{depth}")] = json!({ "allOf": [to, to] });
        }
        for (schema, part) in [
            (bomb, "too large"),
            (
                json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/a" } } }),
                "refers to itself",
            ),
            (json!({ "$ref": "https://example.com/schema" }), "not in it"),
        ] {
            let error = check_schema(&schema).expect_err("refused");
            assert!(error.contains(part), "{error}");
        }
        let good = json!({ "properties": { "a": { "$ref": "#/$defs/a" }, "b": { "$ref": "#/$defs/a" } }, "$defs": { "a": {} } });
        assert!(check_schema(&good).is_ok());
    }

    #[test]
    fn what_a_manifest_says_cannot_steer_a_terminal_or_a_file() {
        let manifest = |version: &str, host: &str, credential: &str| {
            convert_manifest(connector::Manifest {
                name: "x".into(),
                version: version.into(),
                description: "one\ntwo\u{1b}[31m".into(),
                settings_schema: String::new(),
                hosts: vec![host.into()],
                credentials: vec![connector::CredentialRequest {
                    name: credential.into(),
                    purpose: "a\rb".into(),
                }],
                incremental: false,
                folders: None,
            })
        };
        let good = manifest("1.0", "{base_url}", "api").expect("a manifest");
        assert_eq!(
            (good.description.as_str(), good.credentials[0].purpose.as_str()),
            ("one two [31m", "a b")
        );
        assert!(manifest("1.0", "a\", \"*.evil", "api").is_err());
        assert!(manifest("1.0", "{a\nb}", "api").is_err());
        assert!(manifest("1.0", "example.com", "api\nhosts = []").is_err());
    }
}

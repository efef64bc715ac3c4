//! What a connector is, and what it asks for.

/// What a connector says of itself, and what it asks for. What it gets of that is the operator's to say.
#[derive(Debug, Clone)]
pub struct Manifest {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) description: String,
    pub(crate) hosts: Vec<String>,
    pub(crate) credentials: Vec<(String, String)>,
    pub(crate) incremental: bool,
    pub(crate) folders: Option<String>,
}

impl Manifest {
    /// `name` is lower-case words joined by hyphens; `version` a semantic version; `description` one sentence for
    /// the operator: what the connector reads.
    pub fn new(name: &str, version: &str, description: &str) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            description: description.into(),
            hosts: Vec::new(),
            credentials: Vec::new(),
            incremental: false,
            folders: None,
        }
    }

    /// Asks to reach a host; `{setting}` stands for the host of the URL in that setting.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Asks for a credential by the name that it is granted under, and says in the operator's words what it is used
    /// for. See
    /// [`http::Request::credential`](crate::http::Request::credential).
    #[must_use]
    pub fn credential(mut self, name: &str, purpose: &str) -> Self {
        self.credentials.push((name.into(), purpose.into()));
        self
    }

    /// Asks to read folders, and says what it looks for there. Granted ones are read with [`std::fs`].
    #[must_use]
    pub fn folders(mut self, purpose: &str) -> Self {
        self.folders = Some(purpose.into());
        self
    }

    /// It can crawl from a bookmark, what changed since then: see [`Mode`](crate::Mode).
    #[must_use]
    pub fn incremental(mut self) -> Self {
        self.incremental = true;
        self
    }
}

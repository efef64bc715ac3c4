//! Who is who in a source, so that the groups of [`Access`](crate::Access) mean something.
//!
//! ```
//! use sheaf_sdk::identities::{Group, Identities, Member, Page, Reading, User};
//! # use sheaf_sdk::{Connector, Crawl, Datasource, Limits, Manifest, NoSettings, Result, category};
//! # struct Hello;
//! # struct Once;
//! # impl sheaf_sdk::Cursor for Once {
//! #     fn next(&mut self, _: Limits) -> Result<sheaf_sdk::Page> { Ok(sheaf_sdk::Page::complete(vec![], None)) }
//! # }
//! # impl Connector for Hello {
//! #     type Settings = NoSettings;
//! #     type Cursor = Once;
//! #     fn manifest() -> Manifest { Manifest::new("hello", "0.1.0", "Greets.") }
//! #     fn datasource(_: &NoSettings) -> Result<Datasource> {
//! #         Ok(Datasource::new("Hello", category::KNOWLEDGE_HUB, "https://example\\.com/.*"))
//! #     }
//! #     fn open(_: NoSettings, _: Crawl) -> Result<Once> { Ok(Once) }
//! # }
//!
//! impl Identities for Hello {
//!     type Reading = Staff;
//!
//!     fn open(_: NoSettings, _resume: Option<String>) -> Result<Option<Staff>> {
//!         Ok(Some(Staff))
//!     }
//! }
//!
//! struct Staff;
//!
//! impl Reading for Staff {
//!     fn next(&mut self, _limit: u32) -> Result<Page> {
//!         let ann = User::new("ann@example.com").name("Ann");
//!         let staff = Group::new("staff", vec![Member::Email("ann@example.com".into())]);
//!         Ok(Page::complete(vec![ann], vec![staff]))
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! Beside `sheaf_sdk::export!(Hello);` stands `sheaf_sdk::export_identities!(Hello);`.

use std::cell::RefCell;

use crate::adapter::{Adapter, settings};
use crate::bindings::sheaf::connector::base;
use crate::error::Result;
use crate::logging;

/// The contract's generated bindings of the interface `identities`.
#[allow(clippy::all, clippy::pedantic, missing_docs, unsafe_code, unused_qualifications)]
pub mod bindings {
    wit_bindgen::generate!({
        inline: "package sheaf:sdk;
            world identities { export sheaf:connector/identities@0.1.0; }",
        path: "wit",
        world: "sheaf:sdk/identities",
        with: { "sheaf:connector/base@0.1.0": crate::bindings::sheaf::connector::base },
        pub_export_macro: true,
        export_macro_name: "export_identities",
        default_bindings_module: "sheaf_sdk::identities::bindings",
        additional_derives: [PartialEq, Clone],
    });
}

use bindings::exports::sheaf::connector::identities as exported;
pub use exported::{Group, Member, Page, Progress, UnreadableGroup, User};

/// A connector that also knows who is who.
pub trait Identities: crate::Connector {
    /// A reading under way.
    type Reading: Reading;

    /// Begins to read the users and groups, or resumes at a checkpoint. `None` where these settings have none to
    /// tell of.
    fn open(
        settings: <Self as crate::Connector>::Settings,
        resume: Option<String>,
    ) -> Result<Option<Self::Reading>>;
}

/// A reading of users and groups under way.
pub trait Reading: 'static {
    /// The next page, of about `limit` users and members. An empty page is not the end; [`Page::complete`] and
    /// [`Page::partial`] are.
    fn next(&mut self, limit: u32) -> Result<Page>;
}

impl User {
    /// Somebody with an account that can be used, by their e-mail in the company.
    pub fn new(email: impl Into<String>) -> Self {
        Self { email: email.into(), id: None, name: None, active: true }
    }

    /// Their id in the source, where that is not the e-mail.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// What they are called.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Whether the account can be used.
    #[must_use]
    pub fn active(mut self, active: bool) -> Self {
        self.active = active;
        self
    }
}

impl Group {
    /// A group with all its members.
    pub fn new(name: impl Into<String>, members: Vec<Member>) -> Self {
        Self { name: name.into(), members, continues: false }
    }

    /// A part of a group: more of its members come in the next group, which is the same.
    pub fn part(name: impl Into<String>, members: Vec<Member>) -> Self {
        Self { name: name.into(), members, continues: true }
    }
}

impl Page {
    fn new(users: Vec<User>, groups: Vec<Group>, progress: Progress) -> Self {
        Self { users, groups, unreadable: Vec::new(), progress }
    }

    /// More follows. An interrupted reading resumes at `checkpoint`: any text of at most 64 KiB.
    pub fn more(users: Vec<User>, groups: Vec<Group>, checkpoint: impl Into<String>) -> Self {
        Self::new(users, groups, Progress::More(checkpoint.into()))
    }

    /// All were delivered: who is missing is deleted in Glean.
    pub fn complete(users: Vec<User>, groups: Vec<Group>) -> Self {
        Self::new(users, groups, Progress::Complete)
    }

    /// The source will not give the rest: who is missing stays as they were. `reason` is one sentence for the
    /// operator.
    pub fn partial(users: Vec<User>, groups: Vec<Group>, reason: impl Into<String>) -> Self {
        Self::new(users, groups, Progress::Partial(reason.into()))
    }

    /// Groups whose members could not be read: they keep those that they had.
    #[must_use]
    pub fn unreadable(mut self, unreadable: Vec<UnreadableGroup>) -> Self {
        self.unreadable = unreadable;
        self
    }
}

impl<C: Identities> exported::Guest for Adapter<C> {
    type Reading = Open<C>;

    fn open(resume: Option<String>) -> Result<Option<exported::Reading>, base::Fault> {
        logging::start();
        let reading = <C as Identities>::open(settings::<C>()?, resume)?;
        Ok(reading.map(|reading| exported::Reading::new(Open::<C>(RefCell::new(reading)))))
    }
}

/// A reading as the contract sees it: calls come one at a time.
pub struct Open<C: Identities>(RefCell<C::Reading>);

impl<C: Identities> exported::GuestReading for Open<C> {
    fn next(&self, limit: u32) -> Result<Page, base::Fault> {
        Ok(self.0.borrow_mut().next(limit)?)
    }
}

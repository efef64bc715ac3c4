//! Contract 0.1.0: `identities`, which a connector need not have.

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre, ResourceAny};

use super::fault::Faulty;
use super::state::State;
use crate::identities as model;

mod wit {
    wasmtime::component::bindgen!({
        inline: "package sheaf:host;
            world identities { export sheaf:connector/identities@0.1.0; }",
        path: "../wit/0.1.0",
        world: "sheaf:host/identities",
        with: { "sheaf:connector/base": crate::connector::v0_1_wit::sheaf::connector::base },
        exports: { default: async },
    });
}

use wit::exports::sheaf::connector::identities;

/// Where a component's exports are.
#[derive(Clone)]
pub(super) struct Indices(wit::IdentitiesIndices);

impl Indices {
    /// Nothing where it does not export them.
    pub(super) fn find(pre: &InstancePre<State>) -> wasmtime::Result<Option<Self>> {
        let name = "sheaf:connector/identities@0.1.0";
        if pre.component().get_export_index(None, name).is_none() {
            return Ok(None);
        }
        wit::IdentitiesIndices::new(pre).map(|indices| Some(Self(indices)))
    }

    pub(super) fn load(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<Bindings> {
        self.0.load(store, instance).map(Bindings)
    }
}

pub(super) struct Bindings(wit::Identities);

impl Bindings {
    /// Nothing where there are none to tell of.
    pub(super) async fn open(
        &self,
        store: &mut Store<State>,
        resume: Option<&String>,
    ) -> Faulty<Option<ResourceAny>> {
        let answer = self.0.sheaf_connector_identities().call_open(store, resume).await?;
        Ok(answer.map_err(Into::into))
    }

    pub(super) async fn next(
        &self,
        store: &mut Store<State>,
        reading: ResourceAny,
        limit: u32,
    ) -> Faulty<model::Page> {
        let answer =
            self.0.sheaf_connector_identities().reading().call_next(store, reading, limit).await?;
        Ok(answer.map(Into::into).map_err(Into::into))
    }
}

impl From<identities::Page> for model::Page {
    fn from(page: identities::Page) -> Self {
        let user = |user: identities::User| model::User {
            email: user.email,
            id: user.id,
            name: user.name,
            active: user.active,
        };
        let member = |member: identities::Member| match member {
            identities::Member::Email(email) => model::Member::Email(email),
            identities::Member::Id(id) => model::Member::Id(id),
            identities::Member::Group(name) => model::Member::Group(name),
        };
        let group = |group: identities::Group| model::Group {
            name: group.name,
            members: group.members.into_iter().map(member).collect(),
            continues: group.continues,
        };
        let unreadable = |group: identities::UnreadableGroup| model::UnreadableGroup {
            name: group.name,
            reason: group.reason,
        };
        Self {
            users: page.users.into_iter().map(user).collect(),
            groups: page.groups.into_iter().map(group).collect(),
            unreadable: page.unreadable.into_iter().map(unreadable).collect(),
            progress: match page.progress {
                identities::Progress::More(checkpoint) => model::Progress::More(checkpoint),
                identities::Progress::Complete => model::Progress::Complete,
                identities::Progress::Partial(reason) => model::Progress::Partial(reason),
            },
        }
    }
}

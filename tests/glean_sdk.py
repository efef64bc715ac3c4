"""Calls every method of `client.indexing` in Glean's own SDK, and runs a connector of it.

The address and the token are in the SDK's own variables: GLEAN_SERVER_URL, GLEAN_INDEXING_API_TOKEN.
"""

import os

from glean.api_client import Glean, errors, models
from glean.indexing.connectors import BaseDatasourceConnector, BaseDataClient
from glean.indexing.models import ConnectorOptions, IndexingMode

URL = os.environ["GLEAN_SERVER_URL"]
DATASOURCE = {
    "display_name": "Wiki",
    "datasource_category": "KNOWLEDGE_HUB",
    "url_regex": "https://wiki.example.com/.*",
    "object_definitions": [{"name": "Page", "doc_category": "KNOWLEDGE_HUB"}],
}


def refused(status, call, **arguments):
    """Calls what must be refused with this status, and gives the reason."""
    try:
        call(**arguments)
    except errors.GleanBaseError as error:
        assert error.status_code == status, (error.status_code, error.body)
        return error.body
    raise AssertionError(f"{call.__name__} {arguments} was not refused")


def document(id, **fields):
    return {
        "datasource": "wiki",
        "id": id,
        "title": id,
        "view_url": f"https://wiki.example.com/{id}",
        "object_type": "Page",
        "permissions": {"allow_anonymous_access": True},
        **fields,
    }


def check_datasources(indexing):
    indexing.datasources.add(name="wiki", **DATASOURCE)
    config = indexing.datasources.retrieve_config(datasource="wiki")
    assert config.display_name == "Wiki" and config.url_regex == DATASOURCE["url_regex"]
    refused(400, indexing.datasources.retrieve_config, datasource="none")
    assert "Glean" in refused(400, indexing.authentication.rotate_token)


def check_documents(indexing, troubleshooting):
    documents = indexing.documents

    def ids(*asked):
        many = [{"object_type": "Page", "doc_id": id} for id in asked]
        statuses = documents.debug_many(datasource="wiki", debug_documents=many).document_statuses
        assert [found.doc_id for found in statuses] == list(asked)
        assert all(found.object_type == "Page" for found in statuses)
        return [f.doc_id for f in statuses if f.debug_info.status.upload_status == "UPLOADED"]

    documents.bulk_index(upload_id="1", datasource="wiki", documents=[document("a")], is_first_page=True)
    again = {"upload_id": "2", "datasource": "wiki", "documents": [], "is_first_page": True}
    refused(409, documents.bulk_index, **again)
    documents.bulk_index(
        upload_id="1", datasource="wiki", documents=[document("b"), document("c")], is_last_page=True
    )
    assert ids("a", "b", "c", "d") == ["a", "b", "c"]

    # A fifth may go without a word, more only by its flag.
    documents.bulk_index(
        upload_id="3", datasource="wiki", documents=[document("a")], is_first_page=True, is_last_page=True
    )
    history = indexing.datasource.status(datasource="wiki").documents.bulk_upload_history
    assert history[0].upload_id == "3" and history[0].processing_state == "DELETION PAUSED"
    assert ids("a", "b", "c") == ["a", "b", "c"]
    documents.bulk_index(
        upload_id="4",
        datasource="wiki",
        documents=[document("a")],
        is_first_page=True,
        is_last_page=True,
        disable_stale_document_deletion_check=True,
    )
    assert ids("a", "b", "c") == ["a"]

    documents.index(datasource="wiki", documents=[document("b"), document("c", object_type=None)], upload_id="x")
    refused(400, documents.index, datasource="wiki", documents=[document("e", object_type="a_b")])
    refused(400, documents.index, datasource="wiki", documents=[document("e", view_url="https://x.example.com/")])
    counts = indexing.datasource.status(datasource="wiki").documents.counts.uploaded
    assert sum(entry.count for entry in counts) == 3

    # An older version is refused, also after a deletion; none and 0 are not looked at.
    documents.add_or_update(document=document("v", title="two"), version=2)
    refused(409, documents.add_or_update, document=document("v", title="one"), version=1)
    documents.add_or_update(document=document("v", title="two"), version=2)
    documents.add_or_update(document=document("v"), version=0)
    refused(409, documents.delete, datasource="wiki", object_type="Page", id="V", version=1)
    documents.delete(datasource="wiki", object_type="Page", id="V", version=3)
    refused(409, documents.add_or_update, document=document("v"), version=2)
    documents.delete(datasource="wiki", object_type="Page", id="never there")
    assert ids("v") == []

    debugged = documents.debug(datasource="wiki", object_type="Page", doc_id="B")
    assert debugged.status.upload_status == "UPLOADED" and debugged.status.indexing_status == "INDEXED"
    assert debugged.status.last_uploaded_at and debugged.status.permission_identity_status == "UPLOADED"
    assert debugged.uploaded_permissions.allow_anonymous_access
    debugged = documents.debug(datasource="wiki", object_type="Page", doc_id="none")
    assert debugged.status.upload_status == "NOT_UPLOADED"

    events = troubleshooting.post_api_index_v1_debug_datasource_document_events
    asked = {"datasource": "wiki", "object_type": "Page", "doc_id": "v"}
    refused(400, events, start_date="2020-01-01", **asked)
    refused(400, events, max_events=101, **asked)
    found = [event.event for event in events(max_events=100, **asked).life_cycle_events]
    assert found[:4] == ["DELETED", "DELETION_REQUESTED", "INDEXED", "UPLOADED"], found
    refused(429, events, **asked)

    # One datasource is no hindrance for all of them, all of them are one for each.
    documents.process_all(request={"datasource": "wiki"})
    refused(429, documents.process_all, request={"datasource": "wiki"})
    documents.process_all()
    refused(429, documents.process_all)
    indexing.datasources.add(name="other", **DATASOURCE)
    refused(429, documents.process_all, request={"datasource": "other"})


def check_permissions(indexing):
    permissions = indexing.permissions

    def groups(email):
        found = indexing.people.debug(datasource="wiki", email=email)
        return sorted(group.name for group in found.uploaded_groups or [])

    def counts():
        identity = indexing.datasource.status(datasource="wiki").identity
        parts = (identity.users, identity.groups, identity.memberships)
        return tuple(part.counts.uploaded for part in parts)

    def user(name):
        return {"email": f"{name}@example.com", "name": name, "user_id": f"id-{name}"}

    def member(group, name):
        return {"group_name": group, "member_user_id": name}

    def bulk(call, upload, **arguments):
        call(upload_id=upload, datasource="wiki", is_first_page=True, is_last_page=True, **arguments)

    for name in ("ann", "bob", "cas", "dan", "eve", "fay"):
        permissions.index_user(datasource="wiki", user=user(name))
    for name in ("staff", "board", "guests", "press", "law", "old"):
        permissions.index_group(datasource="wiki", group={"name": name})
    refused(400, permissions.index_group, datasource="wiki", group={"name": "two words"})
    permissions.index_membership(datasource="wiki", membership=member("staff", "id-ann"))
    permissions.index_membership(datasource="wiki", membership=member("old", "ann@example.com"))
    permissions.index_membership(
        datasource="wiki", membership={"group_name": "press", "member_group_name": "staff"}
    )
    bulk(
        permissions.bulk_index_memberships,
        "m1",
        group="board",
        memberships=[{"member_user_id": "bob@example.com"}, {"member_user_id": "id-fay"}],
    )
    assert groups("ann@example.com") == ["old", "press", "staff"]
    assert groups("bob@example.com") == ["board"] and groups("fay@example.com") == ["board"]
    assert counts() == (6, 6, 5)

    # What a bulk upload drops takes its memberships along.
    kept = [user(name) for name in ("ann", "bob", "cas", "dan", "eve")]
    bulk(permissions.bulk_index_users, "u1", users=kept)
    bulk(
        permissions.bulk_index_groups,
        "g1",
        groups=[{"name": name} for name in ("staff", "board", "guests", "press", "law")],
    )
    assert counts() == (5, 5, 3)
    permissions.index_user(datasource="wiki", user=user("fay"))
    assert groups("fay@example.com") == []
    bulk(permissions.bulk_index_users, "u2", users=kept[:2])
    assert counts()[0] == 6
    bulk(permissions.bulk_index_users, "u3", users=kept[:2], disable_stale_data_deletion_check=True)
    assert counts()[0] == 2

    # Of a user who is known by an id, the id's memberships go too.
    permissions.delete_user(datasource="wiki", email="ann@example.com")
    permissions.delete_user(datasource="wiki", email="nobody@example.com")
    permissions.index_user(datasource="wiki", user=user("ann"))
    assert groups("ann@example.com") == []
    permissions.index_membership(datasource="wiki", membership=member("staff", "id-ann"))
    permissions.delete_user(datasource="wiki", email="id-ann")
    assert indexing.people.debug(datasource="wiki", email="ann@example.com").status.upload_status == "NOT_UPLOADED"
    permissions.delete_membership(datasource="wiki", membership=member("board", "bob@example.com"))
    assert groups("bob@example.com") == []
    permissions.index_membership(datasource="wiki", membership=member("law", "bob@example.com"))
    permissions.delete_group(datasource="wiki", group_name="law")
    assert groups("bob@example.com") == []

    permissions.index_user(datasource="wiki", user=user("ann"), version=5)
    refused(409, permissions.index_user, datasource="wiki", user=user("ann"), version=4)
    refused(409, permissions.delete_user, datasource="wiki", email="ann@example.com", version=4)
    permissions.index_group(datasource="wiki", group={"name": "staff"}, version=5)
    refused(409, permissions.delete_group, datasource="wiki", group_name="staff", version=4)
    permissions.index_membership(datasource="wiki", membership=member("staff", "id-ann"), version=5)
    refused(
        409, permissions.delete_membership, datasource="wiki", membership=member("staff", "id-ann"), version=4
    )

    permissions.process_memberships()
    permissions.process_memberships(request={"datasource": "wiki"})
    refused(400, permissions.process_memberships, request={"datasource": "none"})
    permissions.authorize_beta_users(datasource="wiki", emails=["ann@example.com"])

    def sees(email):
        access = indexing.documents.check_access(
            datasource="wiki", object_type="Page", doc_id="b", user_email=email
        )
        return access.has_access

    assert sees("bob@example.com")
    permissions.update_permissions(
        datasource="wiki", id="b", object_type="Page", permissions={"allowed_groups": ["staff"]}
    )
    assert sees("ann@example.com") and not sees("bob@example.com")
    permissions.update_permissions(
        datasource="wiki",
        view_url="https://wiki.example.com/b",
        permissions={"allowed_users": [{"email": "nobody@example.com"}]},
    )
    assert not sees("ann@example.com")
    debugged = indexing.documents.debug(datasource="wiki", object_type="Page", doc_id="b")
    assert debugged.status.permission_identity_status == "NOT_UPLOADED"


def check_people(indexing):
    people = indexing.people
    employee = {"email": "ann@example.com", "department": "Law", "first_name": "Ann", "last_name": "A"}
    people.index(employee=employee, version=2)
    refused(409, people.index, employee=employee, version=1)
    assert "location" in refused(400, people.index, employee={**employee, "location": "Delft"})
    people.delete(employee_email="ann@example.com")
    team = {"id": "law", "name": "Law", "members": [{"email": "ann@example.com"}]}
    people.index_team(team=team)
    people.bulk_index_teams(upload_id="t1", teams=[team], is_first_page=True, is_last_page=True)
    refused(400, people.bulk_index_teams, upload_id="t2", teams=[team])
    people.delete_team(id="law")
    people.process_all_employees_and_teams()


def check_shortcuts(indexing):
    shortcut = {
        "input_alias": "handbook",
        "destination_url": "https://wiki.example.com/handbook",
        "created_by": "ann@example.com",
    }
    one = {"is_first_page": True, "is_last_page": True}
    indexing.shortcuts.upload(upload_id="s1", shortcuts=[shortcut], **one)
    external = {**shortcut, "intermediate_url": "https://go.example.com/handbook"}
    indexing.shortcuts.bulk_index(upload_id="s1", shortcuts=[external], **one)


def check_custom_metadata(indexing):
    metadata = indexing.custom_metadata
    at = {"server_url": URL}
    group = {"group_name": "review", **at}
    values = {"doc_id": "WIKI_a", "custom_metadata": [{"name": "state", "value": "done"}], **group}
    assert "schema" in refused(400, metadata.upsert, **values)
    keys = [{"name": "state", "property_type": "TEXT", "skip_indexing": True}]
    assert metadata.upsert_schema(metadata_keys=keys, **group).success
    assert metadata.get_schema(**group).metadata_keys[0].name == "state"
    assert metadata.upsert(**values).success
    assert metadata.delete(doc_id="WIKI_a", **group).success
    assert metadata.delete_schema(**group).success
    refused(404, metadata.get_schema, **group)


def check_removed(indexing):
    refused(404, indexing.documents.count, datasource="wiki")
    refused(404, indexing.documents.status, datasource="wiki", object_type="Page", doc_id="a")
    refused(404, indexing.people.count, datasource="wiki")
    refused(404, indexing.people.bulk_index, upload_id="e1", employees=[], is_first_page=True)


class Pages(BaseDataClient[dict]):
    def __init__(self, ids):
        self.ids = ids

    def get_source_data(self, since=None):
        return [{"id": id} for id in self.ids]


class Wiki(BaseDatasourceConnector[dict]):
    configuration = models.CustomDatasourceConfig(name="sdk", **DATASOURCE)

    def transform(self, data):
        return [models.DocumentDefinition(**document(page["id"], datasource="sdk")) for page in data]


def check_connector(indexing):
    connector = Wiki("sdk", Pages(["a", "b", "c"]))
    connector.configure_datasource()
    connector.index_data(mode=IndexingMode.FULL)
    Wiki("sdk", Pages(["d"])).index_data(mode=IndexingMode.INCREMENTAL)
    Wiki("sdk", Pages(["a", "b", "d"])).index_data(
        mode=IndexingMode.FULL, options=ConnectorOptions(disable_stale_deletion_check=True)
    )
    many = [{"object_type": "Page", "doc_id": id} for id in "abcd"]
    statuses = indexing.documents.debug_many(datasource="sdk", debug_documents=many).document_statuses
    assert [s.doc_id for s in statuses if s.debug_info.status.upload_status == "UPLOADED"] == ["a", "b", "d"]


def main():
    with Glean(api_token=os.environ["GLEAN_INDEXING_API_TOKEN"], server_url=URL) as client:
        check_datasources(client.indexing)
        check_documents(client.indexing, client.troubleshooting)
        check_permissions(client.indexing)
        check_people(client.indexing)
        check_shortcuts(client.indexing)
        check_custom_metadata(client.indexing)
        check_removed(client.indexing)
        check_connector(client.indexing)
    with Glean(api_token="another", server_url=URL) as client:
        refused(401, client.indexing.datasource.status, datasource="wiki")


if __name__ == "__main__":
    main()

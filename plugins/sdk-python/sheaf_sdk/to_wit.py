"""What a connector delivers, in the words of the contract's bindings. Only a component can import this."""

from __future__ import annotations

import json
from collections.abc import Sequence

from wit_world.exports import connector as wit_connector
from wit_world.exports import documents as wit_documents
from wit_world.imports import document as wit

from . import model
from .connector import Manifest


def manifest(said: Manifest) -> wit_connector.Manifest:
    return wit_connector.Manifest(
        name=said.name,
        version=said.version,
        description=said.description,
        settings_schema=json.dumps(said.settings),
        hosts=list(said.hosts),
        credentials=[
            wit_connector.CredentialRequest(name, purpose)
            for name, purpose in said.credentials.items()
        ],
        incremental=said.incremental,
        folders=said.folders,
    )


def page(said: model.Page) -> wit_documents.Page:
    return wit_documents.Page(
        documents=[document(one) for one in said.documents],
        deleted=[reference(one) for one in said.deleted],
        access_changes=[
            wit_documents.AccessChange(reference(one.target), access(one.access))
            for one in said.access_changes
        ],
        unreadable=[
            wit_documents.Unreadable(one.id, one.view_url, one.reason) for one in said.unreadable
        ],
        progress=progress(said.progress),
    )


def progress(said: model.Progress) -> wit_documents.Progress:
    match said:
        case model.More(checkpoint):
            return wit_documents.Progress_More(checkpoint)
        case model.Complete(bookmark):
            return wit_documents.Progress_Complete(bookmark)
        case model.Partial(reason):
            return wit_documents.Progress_Partial(reason)


def document(said: model.Document) -> wit.Document:
    return wit.Document(
        id=said.id,
        object_type=said.object_type,
        view_url=said.view_url,
        access=access(said.access),
        title=said.title,
        filename=said.filename,
        body=content(said.body) if said.body else None,
        summary=content(said.summary) if said.summary else None,
        container=container(said.container),
        author=user(said.author),
        owner=user(said.owner),
        created_at=said.created_at,
        updated_at=said.updated_at,
        updated_by=user(said.updated_by),
        tags=list(said.tags),
        status=said.status,
        comments=[comment(one) for one in said.comments],
        interactions=interactions(said.interactions),
        additional_urls=list(said.additional_urls),
        native_app_url=said.native_app_url,
        properties=[
            wit.Property(name, property_value(value)) for name, value in said.properties.items()
        ],
    )


def reference(said: model.DocumentRef) -> wit.DocumentRef:
    return wit.DocumentRef(said.id, said.object_type)


def access(said: model.Access) -> wit.Access:
    match said:
        case model.Everyone():
            return wit.Access_Everyone()
        case model.SourceUsers():
            return wit.Access_SourceUsers()
        case model.Unknown():
            return wit.Access_Unknown()
        case model.Restricted(users, groups, intersections):
            people = [wit.UserRef(one.email, one.id, one.name) for one in users]
            sets = [list(groups) for groups in intersections]
            return wit.Access_Restricted(wit.Restricted(people, list(groups), sets))


def content(said: model.Content) -> wit.Content:
    if isinstance(said.data, bytes):
        return wit.Content(said.mime_type, wit.Data_Binary(said.data))
    return wit.Content(said.mime_type, wit.Data_Text(said.data))


def user(said: model.UserRef | None) -> wit.UserRef | None:
    return wit.UserRef(said.email, said.id, said.name) if said else None


def container(said: model.Container | None) -> wit.Container | None:
    return wit.Container(said.name, said.id, said.object_type) if said else None


def interactions(said: model.Interactions | None) -> wit.Interactions | None:
    return wit.Interactions(said.views, said.likes, said.comments) if said else None


def comment(said: model.Comment) -> wit.Comment:
    return wit.Comment(
        said.id, user(said.author), content(said.content), said.created_at, said.updated_at
    )


def property_value(said: str | int | Sequence[str]) -> wit.PropertyValue:
    if isinstance(said, str):
        return wit.PropertyValue_Text(said)
    if isinstance(said, int):
        return wit.PropertyValue_Integer(said)
    return wit.PropertyValue_Texts(list(said))

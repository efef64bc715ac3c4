"""What the author of a connector implements."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from .model import Crawl, Limits, Page, Scope

S = TypeVar("S")


@dataclass
class Manifest:
    """What a connector says of itself, and what it asks for. What it gets of that is the operator's to say."""

    # Lower-case words joined by hyphens.
    name: str
    # A semantic version.
    version: str
    # One sentence for the operator: what it reads.
    description: str
    # JSON Schema (2020-12) of the settings. Nothing said means that there are none.
    settings: dict[str, Any] = field(
        default_factory=lambda: {"type": "object", "additionalProperties": False}
    )
    # Hosts to reach; `{setting}` stands for the host of the URL in that setting.
    hosts: Sequence[str] = ()
    # Credentials by the names that they are granted under, and what they are used for.
    credentials: dict[str, str] = field(default_factory=dict)
    # Whether it can crawl from a bookmark.
    incremental: bool = False
    # What it looks for in folders, where it wants to read some.
    folders: str | None = None


class Datasource:
    """How Glean shall know and show this source. Its name is the operator's to give.

    Documents whose `view_url` does not match `url_regex` are quarantined. `category` is one of Glean's, such as
    `KNOWLEDGE_HUB`, `TICKETS` or `PUBLISHED_CONTENT`.
    """

    def __init__(self, display_name: str, category: str, url_regex: str):
        self._fields: dict[str, Any] = {
            "displayName": display_name,
            "datasourceCategory": category,
            "urlRegex": url_regex,
            "isUserReferencedByEmail": True,
            "objectDefinitions": [],
        }

    def object(self, name: str, category: str) -> Datasource:
        """A kind of document, by its object type, which has neither spaces nor underscores."""
        self._fields["objectDefinitions"].append({"name": name, "docCategory": category})
        return self

    def property(self, name: str, property_type: str) -> Datasource:
        """A custom property of the object that was added last, of a type such as `TEXT` or `PICKLIST`."""
        for last in self._fields["objectDefinitions"][-1:]:
            found = {"name": name, "displayLabel": name, "propertyType": property_type}
            last.setdefault("propertyDefinitions", []).append(found)
        return self

    def field(self, name: str, value: Any) -> Datasource:
        """Any other field of Glean's `CustomDatasourceConfig`, such as `homeUrl`."""
        self._fields[name] = value
        return self

    def to_json(self) -> str:
        return json.dumps(self._fields)


class Cursor(Protocol):
    """A crawl under way."""

    def next(self, limits: Limits) -> Page:
        """The next page. After a fault this cursor is not asked again: another one is opened."""
        ...


class Connector(Generic[S]):
    """A connector: one kind of source. `S` is what `read_settings` makes of the settings."""

    manifest: Manifest

    def read_settings(self, said: dict[str, Any]) -> S:
        """The settings as the connector wants them. They fit the manifest's schema: the host has seen to that."""
        return said  # type: ignore[return-value]

    def datasource(self, settings: S) -> Datasource:
        """The datasource to register with Glean."""
        raise NotImplementedError

    def check(self, settings: S) -> str:
        """Whether the source answers, in one sentence for the operator. Cheap, and changes nothing."""
        return "nothing to check"

    def scopes(self, settings: S) -> Sequence[Scope]:
        """The parts of the source that are crawled on their own.

        A full crawl deletes what none of them delivered. So a source whose parts cannot be listed is a fault, and
        never a shorter list.
        """
        return [Scope("all", "All documents")]

    def open(self, settings: S, crawl: Crawl) -> Cursor:
        """Begins a crawl of the scope `crawl.scope`, or resumes one at the checkpoint `crawl.resume`.

        A checkpoint or bookmark that cannot be used any more is a `Fault.start_over`.
        """
        raise NotImplementedError

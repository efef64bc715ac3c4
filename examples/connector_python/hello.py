"""A Sheaf connector in Python: ten greetings, a few to a page."""

import logging
from datetime import UTC, datetime
from typing import Any

from sheaf_sdk import (
    Complete,
    Connector,
    Content,
    Crawl,
    Datasource,
    Document,
    Everyone,
    Fault,
    Limits,
    Manifest,
    More,
    Page,
    Scope,
)
from sheaf_sdk.identities import Email, Everybody, Group, People, User

COUNT = 10
PAGE = 4
WRITTEN = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())

SETTINGS = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "greeting": {
            "type": "string",
            "description": "What every document says.",
            "default": "Hello",
        },
    },
    "additionalProperties": False,
}


class Hello(Connector[str]):
    manifest = Manifest(
        name="python-hello",
        version="0.1.0",
        description="Ten greetings, to start your own connector from.",
        settings=SETTINGS,
    )

    # The settings are the greeting here.
    def read_settings(self, said: dict[str, Any]) -> str:
        return str(said.get("greeting", "Hello"))

    def datasource(self, settings: str) -> Datasource:
        urls = r"https://example\.com/hello/.*"
        datasource = Datasource("Python Hello", "KNOWLEDGE_HUB", urls)
        return datasource.object("Greeting", "KNOWLEDGE_HUB")

    def check(self, settings: str) -> str:
        return f"Ready to say {settings!r}."

    def scopes(self, settings: str) -> list[Scope]:
        return [Scope("greetings", "Greetings", COUNT)]

    def open(self, settings: str, crawl: Crawl) -> "Cursor":
        place = crawl.resume or "0"
        if not place.isdecimal() or int(place) >= COUNT:
            raise Fault.start_over(f"{place!r} is not a checkpoint of this connector.")
        logging.info("reading greetings from %s", place)
        return Cursor(settings, int(place))

    def open_identities(self, settings: str, resume: str | None) -> "Staff":
        return Staff()


class Cursor:
    def __init__(self, greeting: str, position: int):
        self.greeting = greeting
        self.position = position

    def next(self, limits: Limits) -> Page:
        start, end = self.position, min(self.position + min(PAGE, limits.documents), COUNT)
        self.position = end
        documents = [self.document(number) for number in range(start + 1, end + 1)]
        return Page(documents, More(str(end)) if end < COUNT else Complete())

    def document(self, number: int) -> Document:
        return Document(
            id=f"hello-{number}",
            object_type="Greeting",
            view_url=f"https://example.com/hello/{number}",
            access=Everyone(),
            title=f"{self.greeting} {number}",
            body=Content("text/plain", f"{self.greeting} from document {number}."),
            updated_at=WRITTEN,
        )


class Staff:
    def next(self, limit: int) -> People:
        ann = User("ann@example.com", name="Ann")
        return People([ann], [Group("readers", [Email(ann.email)])], Everybody())

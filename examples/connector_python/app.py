"""A Sheaf connector in Python: ten greetings, a few to a page."""

import json
from contextlib import suppress

import identities
from componentize_py_types import Err
from documents import COUNT, Cursor
from wit_world import exports
from wit_world.exports.connector import Manifest
from wit_world.exports.documents import Crawl, Scope
from wit_world.imports import host
from wit_world.imports.host import Level
from wit_world.imports.base import Fault, Remedy

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

DATASOURCE = {
    "displayName": "Python Hello",
    "datasourceCategory": "KNOWLEDGE_HUB",
    "urlRegex": r"https://example\.com/hello/.*",
    "objectDefinitions": [{"name": "Greeting", "docCategory": "KNOWLEDGE_HUB"}],
}


class Connector(exports.Connector):
    def describe(self) -> Manifest:
        return Manifest(
            name="python-hello",
            version="0.1.0",
            description="Ten greetings, to start your own connector from.",
            settings_schema=json.dumps(SETTINGS),
            hosts=[],
            credentials=[],
            incremental=False,
            folders=None,
        )

    def datasource(self) -> str:
        return json.dumps(DATASOURCE)

    def check(self) -> str:
        return f"Ready to say {greeting()!r}."


class Documents(exports.Documents):
    def scopes(self) -> list[Scope]:
        return [Scope(id="greetings", title="Greetings", documents=COUNT)]

    def open(self, crawl: Crawl) -> Cursor:
        position = parse(crawl.resume or "0")
        host.log(Level.INFO, "reading greetings", [("from", str(position))])
        return Cursor(greeting(), position)


class Identities(exports.Identities):
    def open(self, resume: str | None) -> identities.Reading | None:
        return identities.Reading()


def greeting() -> str:
    with suppress(ValueError, AttributeError):
        word = json.loads(host.settings()).get("greeting", "Hello")
        if isinstance(word, str):
            return word
    raise fault(Remedy.FIX_SETTINGS, "Set `greeting` to a string, or leave it out.")


def parse(checkpoint: str) -> int:
    if checkpoint.isdecimal() and int(checkpoint) < COUNT:
        return int(checkpoint)
    raise fault(Remedy.START_OVER, f"{checkpoint!r} is not a checkpoint of this connector.")


def fault(remedy: Remedy, message: str) -> Err[Fault]:
    return Err(Fault(remedy, message, retry_after=None))

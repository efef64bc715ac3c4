"""What the operator sets, and what follows from it."""

from typing import Any
from urllib.parse import urlsplit

from sheaf_sdk import Access, Everyone, Unknown, credential, only

NAMES = {"type": "array", "items": {"type": "string"}}

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "feeds": {
            "type": "array",
            "items": {"type": "string", "pattern": "^https?://[^/]"},
            "minItems": 1,
            "uniqueItems": True,
            "description": "The feeds to read, by their URLs.",
        },
        "access": {
            "anyOf": [
                {"const": "everyone"},
                {
                    "type": "object",
                    "properties": {"users": NAMES, "groups": NAMES},
                    "additionalProperties": False,
                },
            ],
            "description": 'Who may find the entries: "everyone", or { users = [e-mails], groups = '
            "[names] }. Nothing said means that nobody may.",
        },
        "credential": {
            "type": "string",
            "enum": ["feed"],
            "description": "Send the granted credential `feed` as the `authorization` header.",
        },
        "link_hosts": {
            **NAMES,
            "description": "Hosts that entries link to, besides those of the feeds.",
        },
    },
    "required": ["feeds"],
    "additionalProperties": False,
}


class Settings:
    """They fit the schema: the host has seen to it."""

    def __init__(self, said: dict[str, Any]):
        self.feeds: list[str] = said["feeds"]
        self.access = access(said.get("access"))
        self.credential: str | None = said.get("credential")
        self.feed_hosts = list(dict.fromkeys(urlsplit(url).netloc for url in self.feeds))
        self.link_hosts: list[str] = said.get("link_hosts", [])

    def authorization(self) -> str | None:
        """A stand-in for the credential, if there is one to send."""
        return None if self.credential is None else credential(self.credential)


def access(said: Any) -> Access:
    match said:
        case None:
            return Unknown()
        case "everyone":
            return Everyone()
        case _:
            return only(said.get("users", []), said.get("groups", []))

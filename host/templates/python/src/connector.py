"""A connector for Sheaf. What it reads is in `source.py`; here that becomes documents."""

import json
import logging
from typing import Any

from sheaf_sdk import (
    Complete,
    Connector,
    Content,
    Crawl,
    Datasource,
    Document,
    DocumentRef,
    Everyone,
    Fault,
    Limits,
    Manifest,
    More,
    Page,
    UserRef,
)
from source import FIRST_PAGE, Note, Source

CATEGORY = "KNOWLEDGE_HUB"
OBJECT_TYPE = "Note"

# What the operator sets. They read the descriptions.
SETTINGS = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "url": {
            "type": "string",
            "pattern": "^https?://[^/]",
            "description": "Where the notes are, such as https://notes.example.com/api. "
            "Left out, the folder /sample is read.",
        },
    },
    "additionalProperties": False,
}


class Notes(Connector[dict[str, Any]]):
    manifest = Manifest(
        name="{{name}}",
        version="0.1.0",
        description="Reads notes.",
        settings=SETTINGS,
        hosts=["{url}"],
        folders="The sample, as long as there is no `url`.",
        incremental=True,
    )

    def datasource(self, settings: dict[str, Any]) -> Datasource:
        # Documents whose address does not match are quarantined.
        urls = r"https://notes\.example\.com/.*"
        return Datasource("{{title}}", CATEGORY, urls).object(OBJECT_TYPE, CATEGORY)

    def check(self, settings: dict[str, Any]) -> str:
        notes, _ = Source(settings.get("url")).page(FIRST_PAGE)
        return f"Notes on the first page: {len(notes)}."

    def open(self, settings: dict[str, Any], crawl: Crawl) -> "Reading":
        return Reading(Source(settings.get("url")), crawl)


class Reading:
    """A crawl under way."""

    def __init__(self, source: Source, crawl: Crawl):
        self.source = source
        self.page = FIRST_PAGE
        # What changed since then is read; nothing said means everything.
        self.since: int | None = None
        # When the newest note so far was changed: at the end, that is the bookmark.
        self.newest = 0
        try:
            if crawl.bookmark is not None:
                self.since = self.newest = int(crawl.bookmark)
            if crawl.resume is not None:
                checkpoint = json.loads(crawl.resume)
                self.page, self.newest = str(checkpoint["page"]), int(checkpoint["newest"])
        except (ValueError, TypeError, KeyError) as error:
            # What an earlier version handed out may come back. Then this scope is read from its beginning.
            message = "This is no checkpoint or bookmark of this version."
            raise Fault.start_over(message) from error
        logging.info("reading from %s", self.page)

    # A page of the source becomes a page here. A source that takes a page's size is given `limits`.
    def next(self, limits: Limits) -> Page:
        notes, next_page = self.source.page(self.page)
        # Several notes may have the time of the newest: that one is read again.
        fresh = [note for note in notes if self.since is None or note.updated >= self.since]
        self.newest = max([self.newest, *(note.updated for note in fresh)])
        page = Page(
            documents=[document(note) for note in fresh if not note.deleted],
            progress=Complete(bookmark=str(self.newest)),
        )
        if next_page is not None:
            self.page = next_page
            page.progress = More(json.dumps({"page": next_page, "newest": self.newest}))
        # A full crawl deletes what it does not deliver. An incremental one has to say so.
        if self.since is not None:
            page.deleted = [DocumentRef(note.id, OBJECT_TYPE) for note in fresh if note.deleted]
        return page


def document(note: Note) -> Document:
    return Document(
        id=note.id,
        object_type=OBJECT_TYPE,
        view_url=note.url,
        # Everyone may find these. Where a source knows who may, say so: `only(users, groups)`.
        access=Everyone(),
        title=note.title,
        body=Content("text/plain", note.text),
        author=UserRef(note.author) if note.author else None,
        updated_at=note.updated,
    )

"""What the interface `documents` hands out. Its resources must be in a module of its name."""

import json
from dataclasses import asdict, dataclass, replace
from time import time
from typing import Any

import feed
import web
from feed import Author, Entry, Feed, Text
from settings import Settings
from wit_world.exports import documents
from wit_world.exports.documents import (
    Crawl,
    Limits,
    Mode_Incremental,
    Page,
    Progress,
    Progress_Complete,
    Progress_More,
    Unreadable,
)
from wit_world.imports.base import Remedy
from wit_world.imports.document import Container, Content, Data_Text, Document, UserRef

OBJECT_TYPE = "Entry"
HEADERS = {
    "accept": "application/atom+xml, application/rss+xml, application/xml;q=0.9, */*;q=0.8",
    "user-agent": "sheaf-feed/0.1.0",
}


@dataclass
class Bookmark:
    """What an incremental crawl needs to know of the crawl before it."""

    etag: str | None = None
    modified: str | None = None
    # When the newest entry was updated.
    newest: int = 0

    def to_json(self) -> str:
        return json.dumps(asdict(self))


class Cursor(documents.Cursor):
    """Reads one feed. A page of the feed is a page of documents."""

    def __init__(self, settings: Settings, crawl: Crawl):
        self.access = settings.access
        self.authorization = settings.authorization()
        self.feed = self.url = crawl.scope
        self.before: Bookmark | None = None
        self.bookmark = Bookmark()
        try:
            if isinstance(crawl.mode, Mode_Incremental):
                self.before = Bookmark(**json.loads(crawl.mode.value))
                self.bookmark = replace(self.before)
            if crawl.resume:
                checkpoint = json.loads(crawl.resume)
                self.url = checkpoint["url"]
                self.bookmark = Bookmark(**checkpoint["bookmark"])
        except (ValueError, TypeError, KeyError) as error:
            message = f"The checkpoint or bookmark is not one of this connector: {error!r}."
            raise web.fault(Remedy.START_OVER, message) from error

    # The limits are a wish. That no page is more than the host takes, web.MAX_BYTES sees to.
    def next(self, limits: Limits) -> Page:
        response = web.get(self.url, self.headers(), self.secret())
        if response.status == 304:
            return self.page(None, [], Progress_Complete(self.bookmark.to_json()))

        found = parse(response)
        fresh = [entry for entry in found.entries if self.is_fresh(entry)]
        self.remember(response, fresh)
        # Feeds begin with what is new. After a page that has nothing new, neither has the rest.
        if found.older and (fresh or not self.before):
            self.url = found.older
            checkpoint = {"url": self.url, "bookmark": asdict(self.bookmark)}
            return self.page(found.title, fresh, Progress_More(json.dumps(checkpoint)))
        return self.page(found.title, fresh, Progress_Complete(self.bookmark.to_json()))

    def headers(self) -> dict[str, str]:
        conditions = {}
        if self.before and self.url == self.feed:
            if self.before.etag:
                conditions["if-none-match"] = self.before.etag
            if self.before.modified:
                conditions["if-modified-since"] = self.before.modified
        return HEADERS | conditions

    def secret(self) -> str | None:
        # The feed says where its next page is. That may be anywhere.
        return self.authorization if web.same_origin(self.url, self.feed) else None

    def is_fresh(self, entry: Entry) -> bool:
        # Several entries may have the time of the newest, so that one is delivered again.
        return not self.before or not entry.updated or entry.updated >= self.before.newest

    def remember(self, response: web.Response, entries: list[Entry]) -> None:
        if self.url == self.feed:
            self.bookmark.etag = response.headers.get("etag")
            self.bookmark.modified = response.headers.get("last-modified")
        # An entry that is dated ahead must not hide those that come before its date.
        times = [min(entry.updated, int(time())) for entry in entries if entry.updated]
        self.bookmark.newest = max([self.bookmark.newest, *times])

    def page(self, feed_title: str | None, entries: list[Entry], progress: Progress) -> Page:
        return Page(
            documents=[self.document(entry, feed_title) for entry in entries if entry.link],
            deleted=[],
            access_changes=[],
            unreadable=[self.unreadable(entry) for entry in entries if not entry.link],
            progress=progress,
        )

    def unreadable(self, entry: Entry) -> Unreadable:
        # Without an id, it might be any document in Glean, and none could be deleted.
        id = feed.document_id(self.feed, entry.guid or entry.title or "no title")
        return Unreadable(id, None, f"The entry {entry.title!r} has no link to open it with.")

    def document(self, entry: Entry, feed_title: str | None) -> Document:
        return Document(
            id=feed.document_id(self.feed, entry.guid),
            object_type=OBJECT_TYPE,
            view_url=entry.link,
            access=self.access,
            title=entry.title,
            body=content(entry.body),
            summary=content(entry.summary),
            container=Container(feed_title, id=None, object_type=None) if feed_title else None,
            author=user(entry.author),
            created_at=entry.created,
            updated_at=entry.updated,
            tags=entry.tags,
            **UNKNOWN,
        )


# A document names every field. These are the ones that a feed has nothing for.
UNKNOWN: dict[str, Any] = dict(
    filename=None,
    owner=None,
    updated_by=None,
    status=None,
    comments=[],
    interactions=None,
    additional_urls=[],
    native_app_url=None,
    properties=[],
)


def parse(response: web.Response) -> Feed:
    try:
        return feed.parse(response.body, response.url)
    except feed.NotAFeed as error:
        message = f"{response.url} is not a feed that can be read: {error}."
        raise web.fault(Remedy.FIX_SETTINGS, message) from error


def content(text: Text | None) -> Content | None:
    return Content(text.mime, Data_Text(text.text)) if text else None


def user(author: Author | None) -> UserRef | None:
    if not author:
        return None
    # A person needs an e-mail or an id; where a feed has a name only, that is the id.
    return UserRef(
        author.email or None, id=None if author.email else author.name, name=author.name or None
    )

"""A crawl of one feed, and what becomes of its entries."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from time import time
from urllib.parse import urlsplit

import feed
from feed import Author, Entry, Feed, Text
from settings import Settings
from sheaf_sdk import (
    Complete,
    Container,
    Content,
    Crawl,
    Document,
    Fault,
    Limits,
    More,
    Page,
    Partial,
    Progress,
    Unreadable,
    UserRef,
    http,
)

OBJECT_TYPE = "Entry"
HEADERS = {
    "accept": "application/atom+xml, application/rss+xml, application/xml;q=0.9, */*;q=0.8",
    "user-agent": "sheaf-feed/0.1.0",
}
# As much as is read of one page of a feed.
MAX_BYTES = 8 << 20


@dataclass
class Bookmark:
    """What an incremental crawl needs to know of the crawl before it."""

    etag: str | None = None
    modified: str | None = None
    # When the newest entry was updated.
    newest: int = 0

    def to_json(self) -> str:
        return json.dumps(asdict(self))


# A feed that loses entries under each of so many readings is given up for today.
MOST_READINGS = 3


class Cursor:
    """Reads one feed. A page of the feed is a page of documents.

    Where an entry is removed while a feed of several pages is read, another may move to a page that was read
    before, and is never seen. So a full crawl reads such a feed twice: what the second reading sees first is
    delivered then, and everything is known once it saw all that the first one did. For what that one missed,
    something was removed, and is missing from the second. Archived pages do not move.
    """

    def __init__(self, settings: Settings, crawl: Crawl):
        self.access = settings.access
        self.hosts = settings.feed_hosts
        # Whether pages move, and the entries that this reading, the one before and all of them saw.
        self.moves = False
        self.reading = 1
        self.seen: set[str] = set()
        self.now: set[str] = set()
        self.last: set[str] | None = None
        self.authorization = settings.authorization()
        self.feed = self.url = crawl.scope
        self.before: Bookmark | None = None
        self.bookmark = Bookmark()
        try:
            if crawl.bookmark is not None:
                self.before = Bookmark(**json.loads(crawl.bookmark))
                self.bookmark = replace(self.before)
            if crawl.resume:
                checkpoint = json.loads(crawl.resume)
                self.url = checkpoint["url"]
                self.bookmark = Bookmark(**checkpoint["bookmark"])
                if checkpoint["moves"] and not self.before:
                    message = f"{self.feed} may have changed since its crawl was interrupted."
                    raise Fault.start_over(message)
        except (ValueError, TypeError, KeyError) as error:
            message = f"The checkpoint or bookmark is not one of this connector: {error!r}."
            raise Fault.start_over(message) from error

    # The limits are a wish. That no page is more than the host takes, MAX_BYTES sees to.
    def next(self, limits: Limits) -> Page:
        response = fetch(self.url, self.headers(), self.hosts, self.secret())
        if response.status == 304:
            return self.page(None, [], Complete(self.bookmark.to_json()))

        found = parse(response)
        fresh = [entry for entry in found.entries if self.is_fresh(entry)]
        # What changes while it is read again is for the next crawl.
        if self.reading == 1:
            self.remember(response, fresh)
        new = [entry for entry in fresh if self.reading == 1 or self.key(entry) not in self.seen]
        keys = set(map(self.key, found.entries))
        self.now |= keys
        self.seen |= keys
        # Feeds begin with what is new. After a page that has nothing new, neither has the rest.
        if found.older and (fresh or not self.before):
            self.url = found.older
            self.moves = self.moves or not found.archived
            return self.page(found.title, new, self.more())
        return self.page(found.title, new, self.end())

    def key(self, entry: Entry) -> str:
        return entry.guid or entry.title or ""

    def more(self) -> Progress:
        checkpoint = {
            "url": self.url,
            "bookmark": asdict(self.bookmark),
            "moves": self.moves,
            "reading": self.reading,
        }
        return More(json.dumps(checkpoint))

    def end(self) -> Progress:
        known = self.before or not self.moves
        if known or self.last is not None and self.last <= self.now:
            return Complete(self.bookmark.to_json())
        if self.reading == MOST_READINGS:
            return Partial(
                f"{self.feed} lost entries each time it was read, so that others may have been missed."
            )
        self.url, self.last, self.now = self.feed, self.now, set()
        self.reading += 1
        return self.more()

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
        return self.authorization if http.same_origin(self.url, self.feed) else None

    def is_fresh(self, entry: Entry) -> bool:
        # Several entries may have the time of the newest, so that one is delivered again.
        return not self.before or not entry.updated or entry.updated >= self.before.newest

    def remember(self, response: http.Response, entries: list[Entry]) -> None:
        if self.url == self.feed:
            self.bookmark.etag = response.headers.get("etag")
            self.bookmark.modified = response.headers.get("last-modified")
        # An entry that is dated ahead must not hide those that come before its date.
        times = [min(entry.updated, int(time())) for entry in entries if entry.updated]
        self.bookmark.newest = max([self.bookmark.newest, *times])

    def page(self, feed_title: str | None, entries: list[Entry], progress: Progress) -> Page:
        return Page(
            documents=[self.document(entry, feed_title) for entry in entries if entry.link],
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
            container=Container(feed_title) if feed_title else None,
            author=user(entry.author),
            created_at=entry.created,
            updated_at=entry.updated,
            tags=entry.tags,
        )


def fetch(
    url: str, headers: dict[str, str], hosts: list[str], authorization: str | None
) -> http.Response:
    """Fetches a page of a feed, on one of these hosts."""
    return http.get(
        url, headers, authorization=authorization, max_bytes=MAX_BYTES, before=only_on(hosts, url)
    )


def only_on(hosts: list[str], asked: str) -> Callable[[str], None]:
    """Refuses what leads to another host. The manifest asks for no other, so that no grant could help."""

    def check(url: str) -> None:
        if urlsplit(url).netloc not in hosts:
            message = f"{asked} leads to {url}, and only the hosts of `feeds` are read: if that is where"
            raise Fault.fix_settings(f"{message} the feed is, name that URL in `feeds`.")

    return check


def parse(response: http.Response) -> Feed:
    try:
        return feed.parse(response.body, response.url, response.headers.get("content-type", ""))
    # What a stranger wrote must end the reading of this feed only, whatever it is.
    except Exception as error:
        reason = str(error) if isinstance(error, feed.NotAFeed) else repr(error)
        message = f"{response.url} is not a feed that can be read: {reason}."
        raise Fault.fix_settings(message) from error


def content(text: Text | None) -> Content | None:
    if not text:
        return None
    return Content(text.mime, text.text)


def user(author: Author | None) -> UserRef | None:
    if not author:
        return None
    # A person needs an e-mail or an id; where a feed has a name only, that is the id.
    return UserRef(
        email=author.email or None,
        id=None if author.email else author.name,
        name=author.name or None,
    )

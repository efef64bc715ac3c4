"""A connector for RSS and Atom feeds: a scope for each feed, a document for each entry."""

import re
from typing import Any
from urllib.parse import urlsplit

from entries import HEADERS, OBJECT_TYPE, Cursor, fetch, parse
from settings import SCHEMA, Settings
from sheaf_sdk import Connector, Crawl, Datasource, Fault, Manifest, Scope

CATEGORY = "PUBLISHED_CONTENT"


class Feeds(Connector[Settings]):
    manifest = Manifest(
        name="feed",
        version="0.1.0",
        description="Reads the entries of RSS and Atom feeds.",
        settings=SCHEMA,
        hosts=["{feeds}"],
        credentials={"feed": "To read feeds that are not public."},
        incremental=True,
    )

    def read_settings(self, said: dict[str, Any]) -> Settings:
        return Settings(said)

    def datasource(self, settings: Settings) -> Datasource:
        hosts = "|".join(map(re.escape, settings.feed_hosts + settings.link_hosts))
        first, *others = settings.feed_hosts
        name = f"{first} and others" if others else first
        # Who wrote an entry may be a name only.
        return (
            Datasource(name, CATEGORY, f"https?://({hosts})/.*")
            .object(OBJECT_TYPE, CATEGORY)
            .field("isUserReferencedByEmail", False)
        )

    def check(self, settings: Settings) -> str:
        authorization = settings.authorization()
        entries, faults = 0, []
        for url in settings.feeds:
            try:
                page = parse(fetch(url, HEADERS, settings.feed_hosts, authorization))
                entries += len(page.entries)
            except Fault as fault:
                faults.append(fault)
        if faults:
            message = " ".join(fault.message for fault in faults)
            raise Fault(faults[0].remedy, message, faults[0].retry_after)
        return f"Entries on the first pages of the feeds: {entries}."

    def scopes(self, settings: Settings) -> list[Scope]:
        return [Scope(id=url, title=title(url)) for url in settings.feeds]

    def open(self, settings: Settings, crawl: Crawl) -> Cursor:
        return Cursor(settings, crawl)


def title(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc + parts.path

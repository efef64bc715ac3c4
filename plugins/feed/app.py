"""A connector for RSS and Atom feeds: a scope for each feed, a document for each entry."""

import json
import re
from dataclasses import replace
from urllib.parse import urlsplit

import web
from componentize_py_types import Err
from documents import HEADERS, OBJECT_TYPE, Cursor, parse
from settings import SCHEMA, Settings
from wit_world import exports
from wit_world.exports.connector import CredentialRequest, Manifest
from wit_world.exports.documents import Crawl, Scope

CATEGORY = "PUBLISHED_CONTENT"


class Connector(exports.Connector):
    def describe(self) -> Manifest:
        return Manifest(
            name="feed",
            version="0.1.0",
            description="Reads the entries of RSS and Atom feeds.",
            settings_schema=json.dumps(SCHEMA),
            hosts=["{feeds}"],
            credentials=[CredentialRequest("feed", "To read feeds that are not public.")],
            incremental=True,
            folders=None,
        )

    def datasource(self) -> str:
        settings = Settings()
        hosts = "|".join(map(re.escape, settings.feed_hosts + settings.link_hosts))
        first, *others = settings.feed_hosts
        return json.dumps(
            {
                "displayName": f"{first} and others" if others else first,
                "datasourceCategory": CATEGORY,
                "urlRegex": f"https?://({hosts})/.*",
                "objectDefinitions": [{"name": OBJECT_TYPE, "docCategory": CATEGORY}],
            }
        )

    def check(self) -> str:
        settings = Settings()
        authorization = settings.authorization()
        entries, faults = 0, []
        for url in settings.feeds:
            try:
                page = parse(web.get(url, HEADERS, settings.feed_hosts, authorization))
                entries += len(page.entries)
            except Err as error:
                faults.append(error.value)
        if faults:
            message = " ".join(fault.message for fault in faults)
            raise Err(replace(faults[0], message=message))
        return f"Entries on the first pages of the feeds: {entries}."


class Documents(exports.Documents):
    def scopes(self) -> list[Scope]:
        return [Scope(id=url, title=title(url), documents=None) for url in Settings().feeds]

    def open(self, crawl: Crawl) -> Cursor:
        return Cursor(Settings(), crawl)


def title(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc + parts.path

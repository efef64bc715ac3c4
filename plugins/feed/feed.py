"""RSS 2.0, RSS 1.0 and Atom, out of their XML. Knows nothing of the host, so tests need none."""

import binascii
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parseaddr, parsedate_to_datetime
from hashlib import sha256
from html import unescape
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser, fromstring, tostring

from encoding import Unknown, decode, without_entities

ATOM = "{http://www.w3.org/2005/Atom}"
# Its draft, which some still write.
ATOM03 = "{http://purl.org/atom/ns#}"
CONTENT = "{http://purl.org/rss/1.0/modules/content/}"
DC = "{http://purl.org/dc/elements/1.1/}"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
RSS1 = "{http://purl.org/rss/1.0/}"
XHTML = "{http://www.w3.org/1999/xhtml}"
XML_BASE = "{http://www.w3.org/XML/1998/namespace}base"

URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
# Printable ASCII without capitals: what stays itself when ids are compared without case.
PLAIN = re.compile(r"[!-@\[-~]{1,200}")
TAG = re.compile(r"<[^>]*>")
# What the draft of Atom called otherwise.
RENAMED = {ATOM03 + "modified": ATOM + "updated", ATOM03 + "issued": ATOM + "published"}
# Files in a feed that have text.
FILES = re.compile(r"application/(pdf|msword|rtf|vnd\.(ms-|openxmlformats-|oasis\.opendocument).*)")


class NotAFeed(Exception):
    """Why this is no feed that can be read."""


class Text(NamedTuple):
    mime: str
    # Bytes are a file, which Glean takes apart itself.
    text: str | bytes


class Author(NamedTuple):
    name: str
    email: str


@dataclass
class Entry:
    """What a feed says of an entry. Empty or None is what it does not say."""

    guid: str
    link: str
    title: str | None
    body: Text | None
    summary: Text | None
    author: Author | None
    created: int | None
    updated: int | None
    tags: list[str]


@dataclass
class Feed:
    title: str | None
    entries: list[Entry]
    # Where older entries are, if the feed has several pages: RFC 5005.
    older: str
    # Whether that is an archive, whose entries stay where they are.
    archived: bool = False


def parse(xml: bytes, url: str, content_type: str = "") -> Feed:
    """Reads a feed that was found at `url`."""
    try:
        # Some feeds begin with an empty line, which XML does not allow.
        text = without_entities(decode(xml, content_type)).lstrip()
        root = fromstring(text.encode(), XMLParser(target=Builder(), encoding="utf-8"))
    except Unknown as error:
        raise NotAFeed(f"its encoding {error} is not known") from error
    except ParseError as error:
        raise NotAFeed(f"it is not XML: {error}") from error

    if root.tag == ATOM03 + "feed":
        for element in root.iter():
            element.tag = RENAMED.get(element.tag, element.tag.replace(ATOM03, ATOM))
    url = base(url, root)
    if root.tag == ATOM + "feed":
        entries = [atom_entry(entry, base(url, entry)) for entry in root.iterfind(ATOM + "entry")]
        return Feed(plain(root.find(ATOM + "title")), entries, *older(root, url))
    if root.tag == "rss" and (channel := root.find("channel")) is not None:
        url = base(url, channel)
        entries = [rss_entry(item, base(url, item)) for item in channel.iterfind("item")]
        return Feed(first(channel, "title") or None, entries, *older(channel, url))
    # In RSS 1.0 everything has a namespace, and items are beside the channel.
    if root.tag == RDF + "RDF" and (channel := root.find(RSS1 + "channel")) is not None:
        entries = [rss_entry(item, base(url, item), RSS1) for item in root.iterfind(RSS1 + "item")]
        return Feed(first(channel, RSS1 + "title") or None, entries, *older(channel, url))
    raise NotAFeed(f"<{root.tag}> is neither RSS nor Atom")


def base(url: str, element: Element | None) -> str:
    """What links in an element are relative to."""
    named = element.get(XML_BASE, "") if element is not None else ""
    with suppress(ValueError):
        return urljoin(url, named.strip())
    return url


def document_id(feed: str, guid: str) -> str:
    """The id of an entry's document. What is no URI means something in its own feed only."""
    key = guid if URI.fullmatch(guid) else f"{feed} {guid}"
    return key if PLAIN.fullmatch(key) else sha256(key.encode()).hexdigest()


class Builder(TreeBuilder):
    def doctype(self, *_: object) -> None:
        # This is where entities that multiply are declared. Web pages begin with one, too.
        raise NotAFeed("it has a DOCTYPE, which no feed needs")


def rss_entry(item: Element, url: str, ns: str = "") -> Entry:
    guid = first(item, "guid") or item.get(RDF + "about", "")
    link = first(item, ns + "link")
    if not link and item.find("guid[@isPermaLink='false']") is None:
        link = guid
    long, short = (html(first(item, name)) for name in (CONTENT + "encoded", ns + "description"))
    written = timestamp(first(item, "pubDate", DC + "date"))
    return Entry(
        guid=guid or link,
        link=web_address(base(url, item.find(ns + "link")), link),
        title=first(item, ns + "title") or None,
        body=long or short,
        summary=short if long else None,
        author=rss_author(first(item, "author", DC + "creator")),
        created=written,
        updated=timestamp(first(item, ATOM + "updated")) or written,
        tags=distinct(
            tag.text for name in ("category", DC + "subject") for tag in item.iterfind(name)
        ),
    )


def rss_author(text: str) -> Author | None:
    """RSS 2.0 asks for `ann@example.com (Ann)`; most feeds just have a name."""
    if not text:
        return None
    name, email = parseaddr(text)
    return Author(name, email) if "@" in email else Author(text, "")


def atom_entry(entry: Element, url: str) -> Entry:
    link = atom_link(entry, url, "alternate")
    long, short = (atom_text(entry.find(ATOM + name)) for name in ("content", "summary"))
    author = entry.find(ATOM + "author")
    published = timestamp(first(entry, ATOM + "published"))
    return Entry(
        guid=first(entry, ATOM + "id") or link,
        link=link,
        title=plain(entry.find(ATOM + "title")),
        body=long or short,
        summary=short if long else None,
        author=atom_author(author) if author is not None else None,
        created=published,
        updated=timestamp(first(entry, ATOM + "updated")) or published,
        tags=distinct(
            tag.get("label") or tag.get("term") for tag in entry.iterfind(ATOM + "category")
        ),
    )


def atom_author(author: Element) -> Author | None:
    name, email = first(author, ATOM + "name"), first(author, ATOM + "email")
    return Author(name, email) if name or email else None


def older(feed: Element, url: str) -> tuple[str, bool]:
    if following := atom_link(feed, url, "next"):
        return following, False
    archive = atom_link(feed, url, "prev-archive")
    return archive, bool(archive)


def atom_link(parent: Element, url: str, relation: str) -> str:
    for link in parent.iterfind(ATOM + "link"):
        if link.get("rel", "alternate") == relation:
            return web_address(base(url, link), link.get("href", "").strip())
    return ""


def atom_text(element: Element | None) -> Text | None:
    """Content that lies in the feed and has text."""
    if element is None or element.get("src"):
        return None
    kind = element.get("type", "text").split(";")[0].strip().lower()
    mode = element.get("mode", "")
    if kind == "xhtml" or mode == "xml" and len(element):
        return html(markup(element))
    mime = {"text": "text/plain", "html": "text/html", "": "text/plain"}.get(kind, kind)
    text = (element.text or "").strip()
    is_xml = mime.endswith(("/xml", "+xml"))
    # What is neither text nor XML is base64: RFC 4287, section 4.1.3.3.
    if mode == "base64" or not (mime.startswith("text/") or is_xml or mode):
        return unpacked(mime, text)
    if is_xml and len(element):
        return html(markup(element))
    if mime == "application/xhtml+xml":
        mime = "text/html"
    return Text(mime, text) if text and mime.startswith("text/") else None


def unpacked(mime: str, text: str) -> Text | None:
    """What base64 holds, if Glean finds text in it."""
    try:
        content = binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except binascii.Error:
        return None
    if FILES.fullmatch(mime):
        return Text(mime, content)
    if mime.startswith("text/") or mime in ("application/octet-stream", "application/xhtml+xml"):
        with suppress(UnicodeError):
            found = content.decode().strip()
            is_html = "html" in mime or TAG.search(found)
            return Text("text/html" if is_html else "text/plain", found) if found else None
    return None


def plain(element: Element | None) -> str | None:
    """A title without its markup."""
    if element is None:
        return None
    text = "".join(element.itertext())
    kind, mode = element.get("type", ""), element.get("mode")
    if mode == "base64" or kind and "/" in kind and not kind.startswith("text/") and not len(element):
        found = unpacked(kind or "text/html", text)
        text = found.text if found and isinstance(found.text, str) else text
        kind = found.mime if found else kind
    if kind in ("html", "text/html"):
        text = unescape(TAG.sub("", text))
    return " ".join(text.split()) or None


def markup(element: Element) -> str | None:
    """The XHTML in an element, as HTML."""
    div = element.find(XHTML + "div")
    if div is None and not len(element):
        return None
    found = element if div is None else div
    for part in found.iter():
        part.tag = part.tag.removeprefix(XHTML)
    if div is None:
        found.tag, found.attrib = "div", {}
    found.tail = None
    return tostring(found, encoding="unicode", method="html")


def html(text: str | None) -> Text | None:
    return Text("text/html", text) if text else None


def first(parent: Element, *names: str) -> str:
    """The first text among the children of these names."""
    texts = (parent.findtext(name, "").strip() for name in names)
    return next(filter(None, texts), "")


def distinct(tags: Iterable[str | None]) -> list[str]:
    return list(dict.fromkeys(tag.strip() for tag in tags if tag and tag.strip()))


def web_address(base: str, link: str) -> str:
    with suppress(ValueError):
        url = urljoin(base, link)
        if link and urlsplit(url).scheme in ("http", "https"):
            return url
    return ""


def timestamp(text: str) -> int | None:
    """Atom writes dates by RFC 3339, RSS by RFC 822, and some feeds the other way round."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        with suppress(ValueError, OverflowError):
            moment = read(text)
            return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())
    return None

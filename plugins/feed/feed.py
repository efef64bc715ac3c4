"""RSS 2.0, RSS 1.0 and Atom, out of their XML. Knows nothing of the host, so tests need none."""

# expat finds these by their names. What is not imported here is not there when the component runs.
import encodings.cp1251
import encodings.cp1252
import encodings.iso8859_2
import encodings.iso8859_15
import encodings.koi8_r
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

ATOM = "{http://www.w3.org/2005/Atom}"
CONTENT = "{http://purl.org/rss/1.0/modules/content/}"
DC = "{http://purl.org/dc/elements/1.1/}"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
RSS1 = "{http://purl.org/rss/1.0/}"
XHTML = "{http://www.w3.org/1999/xhtml}"

URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
# Printable ASCII without capitals: what stays itself when ids are compared without case.
PLAIN = re.compile(r"[!-@\[-~]{1,200}")
TAG = re.compile(r"<[^>]*>")


class NotAFeed(Exception):
    """Why this is no feed that can be read."""


class Text(NamedTuple):
    mime: str
    text: str


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


def parse(xml: bytes, url: str) -> Feed:
    """Reads a feed that was found at `url`."""
    try:
        # Some feeds begin with an empty line, which XML does not allow.
        root = fromstring(xml.lstrip(), XMLParser(target=Builder()))
    except ParseError as error:
        raise NotAFeed(f"it is not XML: {error}") from error

    if root.tag == ATOM + "feed":
        entries = [atom_entry(entry, url) for entry in root.iterfind(ATOM + "entry")]
        return Feed(plain(root.find(ATOM + "title")), entries, older(root, url))
    if root.tag == "rss" and (channel := root.find("channel")) is not None:
        entries = [rss_entry(item, url) for item in channel.iterfind("item")]
        return Feed(first(channel, "title") or None, entries, older(channel, url))
    # In RSS 1.0 everything has a namespace, and items are beside the channel.
    if root.tag == RDF + "RDF" and (channel := root.find(RSS1 + "channel")) is not None:
        entries = [rss_entry(item, url, RSS1) for item in root.iterfind(RSS1 + "item")]
        return Feed(first(channel, RSS1 + "title") or None, entries, older(channel, url))
    raise NotAFeed(f"<{root.tag}> is neither RSS nor Atom")


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
        link=web_address(url, link),
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


def older(feed: Element, url: str) -> str:
    return atom_link(feed, url, "next") or atom_link(feed, url, "prev-archive")


def atom_link(parent: Element, url: str, relation: str) -> str:
    for link in parent.iterfind(ATOM + "link"):
        if link.get("rel", "alternate") == relation:
            return web_address(url, link.get("href", ""))
    return ""


def atom_text(element: Element | None) -> Text | None:
    """Content that lies in the feed and is text."""
    if element is None:
        return None
    kind = element.get("type", "text")
    if kind == "xhtml":
        return html(markup(element))
    mime = {"text": "text/plain", "html": "text/html"}.get(kind, kind)
    if mime.startswith("text/") and element.text and not element.get("src"):
        return Text(mime, element.text.strip())
    return None


def plain(element: Element | None) -> str | None:
    """A title without its markup."""
    if element is None:
        return None
    text = "".join(element.itertext())
    if element.get("type") == "html":
        text = unescape(TAG.sub("", text))
    return " ".join(text.split()) or None


def markup(element: Element) -> str | None:
    """The XHTML in an element, as HTML."""
    div = element.find(XHTML + "div")
    if div is None:
        return None
    for part in div.iter():
        part.tag = part.tag.removeprefix(XHTML)
    div.tail = None
    return tostring(div, encoding="unicode", method="html")


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

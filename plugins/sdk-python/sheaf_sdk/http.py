"""HTTP requests, to the hosts that the operator granted: what goes wrong is a `Fault` with the remedy it calls for.

401 and 403 ask for another credential, 404 and 410 for other settings; 408, 425, 429 and 5xx are tried again, after
what `Retry-After` says. The host keeps pace, follows no redirect, and puts a credential in the place of its stand-in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import Any
from urllib.parse import urljoin, urlsplit

from . import host
from .faults import Fault, Remedy

# Bytes that are read of one answer, unless it is said otherwise.
MAX_BYTES = 32 << 20
MAX_REDIRECTS = 5
MAX_U32 = 2**32 - 1
CONDITIONS = {"if-none-match", "if-modified-since"}


@dataclass
class Response:
    """An answer."""

    # Where it was found: after redirects, not what was asked for.
    url: str
    status: int
    # By name in lower case.
    headers: dict[str, str]
    body: bytes

    def text(self) -> str:
        """The body as UTF-8; bytes that are not are replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON. What is none is tried again: a source that is overloaded may answer with a page for people."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Fault.retry(f"the answer of {self.url} is not JSON: {error}") from error

    @property
    def next_page(self) -> str | None:
        """The URL of the next page, where the source names one in a `Link` header."""
        link = next_link(self.headers.get("link", ""))
        return urljoin(self.url, link) if link else None


# Sends one request and reads its answer, whatever its status is. `_wasi` has one, `_native` has another.
Send = Callable[[str, str, Mapping[str, str], bytes, int], Response]


def get(
    url: str,
    headers: Mapping[str, str] | None = None,
    *,
    authorization: str | None = None,
    max_bytes: int = MAX_BYTES,
    before: Callable[[str], None] | None = None,
) -> Response:
    """Fetches a URL. The answer is a success, or 304 if the headers set conditions; all else is a `Fault`.

    Up to five redirects are followed. `authorization` is what `credential` gave: it goes to this scheme, host and port
    only. `before` is called with each URL, and may raise.
    """
    asked, headers = url, _lower(headers)
    for _ in range(MAX_REDIRECTS + 1):
        if before:
            before(url)
        secret = {"authorization": authorization} if authorization else {}
        response = _send("GET", url, headers | secret, b"", max_bytes)
        # A 304 that nobody asked for would pass for a source without documents.
        if response.status == 304 and CONDITIONS & headers.keys():
            return response
        location = response.headers.get("location")
        if response.status not in (301, 302, 303, 307, 308) or not location:
            return _success(response)
        try:
            url = urljoin(url, location)
        except ValueError as error:
            raise refused(response) from error
        # A host can send us anywhere, but the credential is for itself.
        if not same_origin(url, response.url):
            authorization = None
    raise Fault.fix_settings(f"{asked} redirects more than {MAX_REDIRECTS} times.")


def post(
    url: str,
    content_type: str,
    body: bytes,
    headers: Mapping[str, str] | None = None,
    *,
    authorization: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> Response:
    """Sends something, such as a search. Redirects are not followed."""
    sent = _lower(headers) | {"content-type": content_type}
    if authorization:
        sent["authorization"] = authorization
    return _success(_send("POST", url, sent, body, max_bytes))


def pages(url: str, headers: Mapping[str, str] | None = None, **options: Any) -> Iterator[Response]:
    """A list in pages, each of which names the next in a `Link` header. A crawl that is to be resumed takes `get` and
    `Response.next_page`, and keeps that URL as its checkpoint. A page on another host gets no `authorization`."""
    at: str | None = url
    while at:
        if not same_origin(at, url):
            options["authorization"] = None
        response = get(at, headers, **options)
        yield response
        at = response.next_page


def same_origin(one: str, other: str) -> bool:
    return urlsplit(one)[:2] == urlsplit(other)[:2]


def next_link(header: str) -> str | None:
    """The URL of `rel="next"` in a `Link` header, as it stands there. A URL may have commas: it ends at its `>`."""
    for url, parameters in re.findall(r"<([^>]*)>([^<]*)", header):
        for rel in re.findall(r"""\brel\s*=\s*"?([^";,]*)""", parameters, re.IGNORECASE):
            if "next" in rel.lower().split():
                return str(url)
    return None


def _lower(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {name.lower(): value for name, value in (headers or {}).items()}


def _success(response: Response) -> Response:
    if 200 <= response.status < 300:
        return response
    raise refused(response)


def refused(response: Response) -> Fault:
    """The fault that an answer means."""
    said = f"{response.url} answered with status {response.status}"
    match response.status:
        case 401 | 403:
            return Fault.reauthenticate(f"{said}: grant a credential that it accepts.")
        case 404 | 410:
            return Fault.fix_settings(f"{said}: nothing is there, so correct the URL.")
        case status if status in (408, 425, 429) or status >= 500:
            pause = seconds(response.headers.get("retry-after", ""))
            return Fault(Remedy.RETRY, f"{said}.", pause)
        case _:
            return Fault.fix_settings(f"{said}, which this connector cannot use.")


def seconds(retry_after: str) -> int | None:
    """`Retry-After` is a number of seconds, or a date."""
    if retry_after.isdecimal():
        return min(int(retry_after), MAX_U32)
    with suppress(ValueError):
        return min(max(0, int(parsedate_to_datetime(retry_after).timestamp() - time())), MAX_U32)
    return None


def too_large(url: str, max_bytes: int) -> Fault:
    most = f"{max_bytes >> 20} MiB" if max_bytes >= 1 << 20 else f"{max_bytes} bytes"
    return Fault.fix_settings(f"{url} is larger than {most}, which is the most this connector reads.")


def _transport() -> Send:
    if host.is_there:
        from . import _wasi

        return _wasi.send
    from . import _native

    return _native.send


# Last, as both need what stands before.
_send = _transport()

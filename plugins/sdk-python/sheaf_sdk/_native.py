"""One request by Python's own means, for tests without a host. Nothing limits where it goes."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import quote, urlsplit

from .faults import Fault
from .http import Response, too_large

TIMEOUT = 60


def send(
    method: str, url: str, headers: Mapping[str, str], body: bytes, max_bytes: int
) -> Response:
    try:
        parts = urlsplit(url)
        kind = {"http": HTTPConnection, "https": HTTPSConnection}[parts.scheme]
        connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT)
    except (KeyError, ValueError) as error:
        raise Fault.fix_settings(f"{url} is no address on the web.") from error
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, quote(path, safe="/?%:@!$&'()*+,;=~"), body or None, dict(headers))
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        content = answer.read(max_bytes + 1) if 200 <= answer.status < 300 else b""
    except (OSError, HTTPException) as error:
        raise Fault.retry(f"{url} could not be read: {error}.") from error
    finally:
        connection.close()
    if len(content) > max_bytes:
        raise too_large(url, max_bytes)
    if content and answer.length:
        raise Fault.retry(f"{url} could not be read: the answer ended {answer.length} bytes early.")
    return Response(url, answer.status, found, content)

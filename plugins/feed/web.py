"""HTTP for a connector: `get`, over wasi:http, and the contract's faults for what goes wrong.

The host sends what the connection's grants allow and gives up on what takes too long. It follows no
redirect, and puts a credential in the place of its stand-in on the way out.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from urllib.parse import quote, urljoin, urlsplit

from componentize_py_types import Err, Ok
from wit_world.imports.base import Fault, Remedy
from wit_world.imports.outgoing_handler import handle
from wit_world.imports.streams import InputStream, StreamError_LastOperationFailed
from wit_world.imports.types import (
    ErrorCode,
    ErrorCode_DestinationIpProhibited,
    ErrorCode_HttpRequestDenied,
    ErrorCode_InternalError,
    Fields,
    IncomingResponse,
    OutgoingRequest,
    Scheme,
    Scheme_Http,
    Scheme_Https,
    http_error_code,
)

CONDITIONS = {"if-none-match", "if-modified-since"}
MAX_BYTES = 8 << 20
MAX_REDIRECTS = 5
MAX_U32 = 2**32 - 1
SCHEMES: dict[str, Scheme] = {"http": Scheme_Http(), "https": Scheme_Https()}


@dataclass
class Response:
    # Where it was found: after redirects, not what was asked for.
    url: str
    status: int
    # By name in lower case.
    headers: dict[str, str]
    body: bytes


def get(
    url: str, headers: dict[str, str], hosts: list[str], authorization: str | None = None
) -> Response:
    """Fetches a URL on one of these hosts. The answer's status is 200, or 304 if the headers set conditions."""
    asked = url
    for _ in range(MAX_REDIRECTS + 1):
        # The manifest asks for no other, so that no grant could help.
        if urlsplit(url).netloc not in hosts:
            message = f"{asked} leads to {url}, and only the hosts of `feeds` are read: if that is where"
            raise fault(Remedy.FIX_SETTINGS, f"{message} the feed is, name that URL in `feeds`.")
        secret = {"authorization": authorization} if authorization else {}
        response = send(url, headers | secret)
        # A 304 that nobody asked for would pass for a feed without entries.
        if response.status == 200 or (response.status == 304 and CONDITIONS & headers.keys()):
            return response
        location = response.headers.get("location")
        if response.status not in (301, 302, 303, 307, 308) or not location:
            raise refused(response)
        try:
            url = urljoin(url, location)
        except ValueError as error:
            raise refused(response) from error
        # A host can send us anywhere, but the credential is for itself.
        if not same_origin(url, response.url):
            authorization = None
    raise fault(Remedy.FIX_SETTINGS, f"{asked} redirects more than {MAX_REDIRECTS} times.")


def same_origin(one: str, other: str) -> bool:
    return urlsplit(one)[:2] == urlsplit(other)[:2]


def send(url: str, headers: dict[str, str]) -> Response:
    # A resource must end before the one it came from does: `with` sees to that.
    with answer(url, headers) as response:
        with response.headers() as fields:
            found = {name.lower(): value.decode("latin-1") for name, value in fields.entries()}
        body = b""
        if response.status() == 200:
            with response.consume() as incoming, incoming.stream() as stream:
                body = read(stream, url)
        return Response(url, response.status(), found, body)


def answer(url: str, headers: dict[str, str]) -> IncomingResponse:
    """Sends a request, and waits until its answer begins."""
    try:
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        fields = [(name, value.encode("latin-1")) for name, value in headers.items()]
        request = OutgoingRequest(Fields.from_list(fields))
        request.set_scheme(SCHEMES[parts.scheme])
        request.set_authority(parts.netloc)
        request.set_path_with_query(quote(path, safe="/?%:@!$&'()*+,;=~"))
    except (Err, KeyError, ValueError) as error:
        raise fault(Remedy.FIX_SETTINGS, f"{url} is no address on the web.") from error

    try:
        with handle(request, None) as future:
            with future.subscribe() as ready:
                ready.block()
            outcome = future.get()
    except Err as error:
        raise unreachable(url, error.value) from error

    match outcome:
        case Ok(Ok(response)):
            return response
        case Ok(Err(code)):
            raise unreachable(url, code)
        case _:
            raise unreachable(url, None)


def read(stream: InputStream, url: str) -> bytes:
    body = bytearray()
    while len(body) <= MAX_BYTES:
        try:
            body += stream.blocking_read(64 << 10)
        except Err as error:
            if isinstance(error.value, StreamError_LastOperationFailed):
                with error.value.value as cause:
                    raise unreachable(url, http_error_code(cause)) from error
            return bytes(body)
    raise fault(
        Remedy.FIX_SETTINGS,
        f"{url} is larger than {MAX_BYTES >> 20} MiB, which is the most this connector reads.",
    )


def refused(response: Response) -> Err[Fault]:
    """The fault that an answer means."""
    said = f"{response.url} answered with status {response.status}"
    match response.status:
        case 401 | 403:
            return fault(Remedy.REAUTHENTICATE, f"{said}: grant a credential that it accepts.")
        case 404 | 410:
            return fault(Remedy.FIX_SETTINGS, f"{said}: nothing is there, so correct the URL.")
        case status if status in (408, 425, 429) or status >= 500:
            pause = seconds(response.headers.get("retry-after", ""))
            return fault(Remedy.RETRY, f"{said}.", pause)
        case _:
            return fault(Remedy.FIX_SETTINGS, f"{said}, which this connector cannot use.")


def unreachable(url: str, code: ErrorCode | None) -> Err[Fault]:
    """The fault for a request without an answer."""
    if isinstance(code, ErrorCode_HttpRequestDenied | ErrorCode_DestinationIpProhibited):
        host = urlsplit(url).netloc
        return fault(
            Remedy.FIX_SETTINGS,
            f"It may not reach {host}: grant it that host, or correct what leads there.",
        )
    # The class is named for the code: `ErrorCode_ConnectionTimeout`.
    name = type(code).__name__.removeprefix("ErrorCode_") if code else "ConnectionBroken"
    reason = re.sub("(?<=[a-z])(?=[A-Z])", " ", name).lower()
    if isinstance(code, ErrorCode_InternalError) and code.value:
        reason = code.value
    return fault(Remedy.RETRY, f"{url} could not be read: {reason}.")


def seconds(retry_after: str) -> int | None:
    """Retry-After is a number of seconds, or a date."""
    if retry_after.isdecimal():
        return min(int(retry_after), MAX_U32)
    with suppress(ValueError):
        return max(0, int(parsedate_to_datetime(retry_after).timestamp() - time()))
    return None


def fault(remedy: Remedy, message: str, retry_after: int | None = None) -> Err[Fault]:
    return Err(Fault(remedy, message, retry_after))

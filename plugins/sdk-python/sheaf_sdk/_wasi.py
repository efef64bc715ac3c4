"""One request over wasi:http. Only a component can import this."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from componentize_py_types import Err, Ok
from wit_world.imports.outgoing_handler import handle
from wit_world.imports.streams import InputStream, StreamError_LastOperationFailed
from wit_world.imports.types import (
    ErrorCode,
    ErrorCode_DestinationIpProhibited,
    ErrorCode_HttpRequestDenied,
    ErrorCode_InternalError,
    Fields,
    IncomingResponse,
    Method,
    Method_Get,
    Method_Post,
    OutgoingBody,
    OutgoingRequest,
    Scheme,
    Scheme_Http,
    Scheme_Https,
    http_error_code,
)

from .faults import Fault
from .http import Response, too_large

SCHEMES: dict[str, Scheme] = {"http": Scheme_Http(), "https": Scheme_Https()}
METHODS: dict[str, Method] = {"GET": Method_Get(), "POST": Method_Post()}
# As much as a stream takes at once.
PIECE = 4096


def send(
    method: str, url: str, headers: Mapping[str, str], body: bytes, max_bytes: int
) -> Response:
    # A resource must end before the one it came from does: `with` sees to that.
    with _answer(method, url, headers, body) as response:
        with response.headers() as fields:
            found = {name.lower(): value.decode("latin-1") for name, value in fields.entries()}
        content = b""
        # What is no success is not read: its status says what to do.
        if 200 <= response.status() < 300:
            with response.consume() as incoming, incoming.stream() as stream:
                content = _read(stream, url, max_bytes)
        return Response(url, response.status(), found, content)


def _answer(method: str, url: str, headers: Mapping[str, str], body: bytes) -> IncomingResponse:
    """Sends a request, and waits until its answer begins."""
    try:
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        fields = [(name, value.encode("latin-1")) for name, value in headers.items()]
        if body:
            fields.append(("content-length", str(len(body)).encode()))
        request = OutgoingRequest(Fields.from_list(fields))
        request.set_method(METHODS[method])
        request.set_scheme(SCHEMES[parts.scheme])
        request.set_authority(parts.netloc)
        request.set_path_with_query(quote(path, safe="/?%:@!$&'()*+,;=~"))
    except (Err, KeyError, ValueError) as error:
        raise Fault.fix_settings(f"{url} is no address on the web.") from error

    try:
        outgoing = request.body() if body else None
        with handle(request, None) as future:
            if outgoing:
                _write(outgoing, body)
            with future.subscribe() as ready:
                ready.block()
            outcome = future.get()
    except Err as error:
        raise _unreachable(url, error.value) from error

    match outcome:
        case Ok(Ok(response)):
            return response
        case Ok(Err(code)):
            raise _unreachable(url, code)
        case _:
            raise _unreachable(url, None)


def _write(outgoing: OutgoingBody, body: bytes) -> None:
    with outgoing.write() as stream:
        for start in range(0, len(body), PIECE):
            stream.blocking_write_and_flush(body[start : start + PIECE])
    OutgoingBody.finish(outgoing, None)


def _read(stream: InputStream, url: str, max_bytes: int) -> bytes:
    body = bytearray()
    while len(body) <= max_bytes:
        try:
            body += stream.blocking_read(64 << 10)
        except Err as error:
            if isinstance(error.value, StreamError_LastOperationFailed):
                with error.value.value as cause:
                    raise _unreachable(url, http_error_code(cause)) from error
            return bytes(body)
    raise too_large(url, max_bytes)


def _unreachable(url: str, code: ErrorCode | None) -> Fault:
    """The fault for a request without an answer."""
    if isinstance(code, ErrorCode_HttpRequestDenied | ErrorCode_DestinationIpProhibited):
        host = urlsplit(url).netloc
        return Fault.fix_settings(
            f"It may not reach {host}: grant it that host, or correct what leads there."
        )
    # The class is named for the code: `ErrorCode_ConnectionTimeout`.
    name = type(code).__name__ if code else ""
    name = name.removeprefix("ErrorCode_") if name.startswith("ErrorCode_") else "ConnectionBroken"
    reason = re.sub("(?<=[a-z])(?=[A-Z])", " ", name).lower()
    if isinstance(code, ErrorCode_InternalError) and code.value:
        reason = code.value
    return Fault.retry(f"{url} could not be read: {reason}.")

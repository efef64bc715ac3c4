"""Between the contract's bindings and `Connector`. Only a component can import this: `sheaf-build` makes it."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import connector as wit_connector
from wit_world.exports import documents as wit
from wit_world.imports import base, host

from . import to_wit
from .connector import Connector
from .faults import Fault
from .model import Crawl, Limits

T = TypeVar("T")

LEVELS = [
    (logging.ERROR, host.Level.ERROR),
    (logging.WARNING, host.Level.WARN),
    (logging.INFO, host.Level.INFO),
    (logging.DEBUG, host.Level.DEBUG),
]


class ToHost(logging.Handler):
    """Hands what `logging` is told to the worker's log."""

    def emit(self, record: logging.LogRecord) -> None:
        found = (level for least, level in LEVELS if record.levelno >= least)
        host.log(next(found, host.Level.TRACE), self.format(record), [])


def told(call: Callable[[], T]) -> T:
    """What goes wrong in a call, as the contract says it."""
    try:
        return call()
    except Fault as error:
        remedy = base.Remedy[error.remedy.name]
        fault = base.Fault(remedy, error.message, error.retry_after)
    except Err:
        raise
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        fault = base.Fault(base.Remedy.RETRY, f"{type(error).__name__}: {error}", None)
    raise Err(fault)


def started(kind: type[Connector[Any]]) -> Connector[Any]:
    root = logging.getLogger()
    root.handlers = [ToHost()]
    root.setLevel(logging.DEBUG)
    return kind()


def settings(connector: Connector[Any]) -> Any:
    return connector.read_settings(json.loads(host.settings() or "{}"))


class Cursor(wit.Cursor):
    """A cursor as the contract sees it."""

    def __init__(self, cursor: Any):
        self.cursor = cursor

    def next(self, limits: wit.Limits) -> wit.Page:
        wish = Limits(limits.documents, limits.bytes)
        return told(lambda: to_wit.page(self.cursor.next(wish)))


def connector_of(connector: Connector[Any]) -> type:
    class Exported(exports.Connector):
        def describe(self) -> wit_connector.Manifest:
            return to_wit.manifest(connector.manifest)

        def datasource(self) -> str:
            return told(lambda: connector.datasource(settings(connector)).to_json())

        def check(self) -> str:
            return told(lambda: connector.check(settings(connector)))

    return Exported


def documents_of(connector: Connector[Any]) -> type:
    class Exported(exports.Documents):
        def scopes(self) -> list[wit.Scope]:
            return told(
                lambda: [
                    wit.Scope(scope.id, scope.title, scope.documents)
                    for scope in connector.scopes(settings(connector))
                ]
            )

        def open(self, crawl: wit.Crawl) -> wit.Cursor:
            bookmark = crawl.mode.value if isinstance(crawl.mode, wit.Mode_Incremental) else None
            asked = Crawl(crawl.scope, bookmark, crawl.resume)
            return told(lambda: Cursor(connector.open(settings(connector), asked)))

    return Exported

"""Write a connector for Sheaf in Python: a class with `Connector` as its base, which `sheaf-build` makes a component.

`http` reads a source on the network, granted folders are read with `open` and `pathlib`, and what `logging` is told goes
to the worker's log. All of it works without a host as well, in tests.
"""

from .connector import Connector, Cursor, Datasource, Manifest
from .faults import Fault, Remedy
from .host import credential
from .model import (
    Access,
    AccessChange,
    Comment,
    Complete,
    Container,
    Content,
    Crawl,
    Document,
    DocumentRef,
    Everyone,
    Interactions,
    Limits,
    More,
    Page,
    Partial,
    Progress,
    PropertyValue,
    Restricted,
    Scope,
    SourceUsers,
    Unknown,
    Unreadable,
    UserRef,
    only,
)

__version__ = "0.1.0"

__all__ = [
    "Access",
    "AccessChange",
    "Comment",
    "Complete",
    "Connector",
    "Container",
    "Content",
    "Crawl",
    "Cursor",
    "Datasource",
    "Document",
    "DocumentRef",
    "Everyone",
    "Fault",
    "Interactions",
    "Limits",
    "Manifest",
    "More",
    "Page",
    "Partial",
    "Progress",
    "PropertyValue",
    "Remedy",
    "Restricted",
    "Scope",
    "SourceUsers",
    "Unknown",
    "Unreadable",
    "UserRef",
    "credential",
    "only",
]

"""What a connector delivers: documents and pages. Pure data, so that tests need no host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass
class UserRef:
    """A person. At least one of `email` and `id` names them."""

    email: str | None = None
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Everyone:
    """Everyone in the company."""


@dataclass(frozen=True)
class SourceUsers:
    """Everyone with an account in the source."""


@dataclass(frozen=True)
class Unknown:
    """The source would not say. Indexed for nobody, and reported."""


@dataclass
class Restricted:
    """Only these. Empty lists mean nobody."""

    users: list[UserRef] = field(default_factory=list)
    # By their names in the source.
    groups: list[str] = field(default_factory=list)
    # Each inner list is a set of groups of which the reader must be in all.
    group_intersections: list[list[str]] = field(default_factory=list)


Access = Everyone | SourceUsers | Restricted | Unknown
"""Who may find a document. There is no default: a connector that cannot tell says so."""


def only(users: Iterable[str] = (), groups: Iterable[str] = ()) -> Restricted:
    """Only these people, by e-mail, and the members of these groups. Nobody, where both are empty."""
    return Restricted([UserRef(email) for email in users], list(groups))


@dataclass
class Content:
    """A piece of content and what it is, such as `text/html`. Bytes are a file that Glean takes apart itself."""

    mime_type: str
    data: str | bytes


@dataclass
class Comment:
    """What somebody said about a document."""

    id: str
    content: Content
    author: UserRef | None = None
    created_at: int | None = None
    updated_at: int | None = None


@dataclass
class Container:
    """What a document lies in: a space, a folder, a project."""

    name: str
    id: str | None = None
    object_type: str | None = None


@dataclass
class Interactions:
    """How much a document is used, as a signal for ranking."""

    views: int | None = None
    likes: int | None = None
    comments: int | None = None


PropertyValue = str | int | Sequence[str]


@dataclass
class Document:
    """One thing that can be found. Times are seconds since 1970."""

    # Unique in the source without regard to case, at most 200 characters, and the same from crawl to crawl.
    id: str
    # One of those that the datasource registers. No spaces or underscores.
    object_type: str
    # Where a reader opens it. It matches the datasource's `urlRegex`.
    view_url: str
    access: Access
    title: str | None = None
    filename: str | None = None
    body: Content | None = None
    summary: Content | None = None
    container: Container | None = None
    author: UserRef | None = None
    owner: UserRef | None = None
    created_at: int | None = None
    updated_at: int | None = None
    updated_by: UserRef | None = None
    tags: Sequence[str] = ()
    status: str | None = None
    comments: Sequence[Comment] = ()
    interactions: Interactions | None = None
    additional_urls: Sequence[str] = ()
    native_app_url: str | None = None
    # By the names that the datasource registers.
    properties: dict[str, PropertyValue] = field(default_factory=dict)


@dataclass
class DocumentRef:
    """Names a document without its content."""

    id: str
    object_type: str


@dataclass
class Unreadable:
    """A document that was met and cannot be delivered. It is quarantined, and not deleted."""

    # Without an id it might be any document, and none could be deleted.
    id: str | None
    view_url: str | None
    # One sentence: why not.
    reason: str


@dataclass
class AccessChange:
    """A document that stays as it is, but for who may find it."""

    target: DocumentRef
    access: Access


@dataclass
class Scope:
    """A part of the source that is crawled on its own. Its id is the same from crawl to crawl."""

    id: str
    title: str
    # About how many it has, for the display of progress only.
    documents: int | None = None


@dataclass
class Crawl:
    """What to read, and where to begin."""

    scope: str = "all"
    # What an incremental crawl begins from; nothing for a full one.
    bookmark: str | None = None
    # The checkpoint of the last page that is safe in Glean; nothing at the beginning.
    resume: str | None = None

    @property
    def is_incremental(self) -> bool:
        return self.bookmark is not None


@dataclass
class Limits:
    """A wish to the connector, and a law at the host."""

    documents: int = 500
    bytes: int = 1 << 20


@dataclass(frozen=True)
class More:
    """More follows. Once Glean has this page, an interrupted crawl resumes at the checkpoint."""

    checkpoint: str


@dataclass(frozen=True)
class Complete:
    """The scope was read to its end. The bookmark is for the next incremental crawl."""

    bookmark: str | None = None


@dataclass(frozen=True)
class Partial:
    """The source will not give the rest: nothing that is missing may be deleted."""

    reason: str


Progress = More | Complete | Partial
"""How a crawl stands after a page. Only this says whether it has ended; an empty page does not."""


@dataclass
class Page:
    """Some documents, and how the crawl stands after them."""

    documents: Sequence[Document]
    progress: Progress
    # Deletions and changes of access are said by incremental crawls only.
    deleted: Sequence[DocumentRef] = ()
    access_changes: Sequence[AccessChange] = ()
    unreadable: Sequence[Unreadable] = ()

"""Who is who in a source, so that groups in `Restricted` mean something. `identities = true` in `[tool.sheaf]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .model import Partial


@dataclass
class User:
    """Somebody with an account in the source. Glean knows people by their e-mail address in the company."""

    email: str
    # Their id in the source, where that is not the e-mail.
    id: str | None = None
    name: str | None = None
    # Whether the account can be used.
    active: bool = True


@dataclass(frozen=True)
class Email:
    """A member: one of the users, by their e-mail."""

    value: str


@dataclass(frozen=True)
class Id:
    """A member: one of the users, by their id."""

    value: str


@dataclass(frozen=True)
class GroupName:
    """Members: everyone in another group, by its name."""

    value: str


Member = Email | Id | GroupName


@dataclass
class Group:
    """A group as `Restricted` names it, or a part of one."""

    name: str
    members: Sequence[Member]
    # Whether more of its members follow: then the next group, of this page or the next, is this one.
    continues: bool = False


@dataclass
class UnreadableGroup:
    """A group whose members could not be read. It keeps those that it had."""

    name: str
    reason: str


@dataclass(frozen=True)
class MorePeople:
    """More follows. The checkpoint is where to go on."""

    checkpoint: str


@dataclass(frozen=True)
class Everybody:
    """All users and groups were delivered: who is missing is gone."""


@dataclass
class People:
    """Some users and groups, and whether everyone was delivered. Only `progress` says so; an empty page does not."""

    users: Sequence[User]
    groups: Sequence[Group]
    progress: MorePeople | Everybody | Partial
    unreadable: Sequence[UnreadableGroup] = ()


class Reading(Protocol):
    """A reading of the identities under way."""

    def next(self, limit: int) -> People:
        """The next page, of about so many users and members."""
        ...


class Identities(Protocol):
    """What a connector that knows who is who has besides."""

    def open_identities(self, settings: Any, resume: str | None) -> Reading | None:
        """Begins to read users and groups, or resumes. Nothing where these settings have none to tell of."""
        ...

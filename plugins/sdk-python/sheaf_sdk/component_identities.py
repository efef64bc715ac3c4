"""The same for `Identities`, in components whose world has them."""

from __future__ import annotations

from typing import Any

from wit_world import exports
from wit_world.exports import identities as wit

from .component import settings, told
from .identities import Email, Everybody, GroupName, Id, Member, MorePeople, People
from .model import Partial


class Reading(wit.Reading):
    """A reading as the contract sees it."""

    def __init__(self, reading: Any):
        self.reading = reading

    def next(self, limit: int) -> wit.Page:
        return told(lambda: page(self.reading.next(limit)))


def identities_of(connector: Any) -> type:
    class Exported(exports.Identities):
        def open(self, resume: str | None) -> wit.Reading | None:
            def begun() -> wit.Reading | None:
                reading = connector.open_identities(settings(connector), resume)
                return None if reading is None else Reading(reading)

            return told(begun)

    return Exported


def page(said: People) -> wit.Page:
    return wit.Page(
        users=[wit.User(one.email, one.id, one.name, one.active) for one in said.users],
        groups=[
            wit.Group(one.name, [member(each) for each in one.members], one.continues)
            for one in said.groups
        ],
        unreadable=[wit.UnreadableGroup(one.name, one.reason) for one in said.unreadable],
        progress=progress(said.progress),
    )


def progress(said: MorePeople | Everybody | Partial) -> wit.Progress:
    match said:
        case MorePeople(checkpoint):
            return wit.Progress_More(checkpoint)
        case Everybody():
            return wit.Progress_Complete()
        case Partial(reason):
            return wit.Progress_Partial(reason)


def member(said: Member) -> wit.Member:
    match said:
        case Email(email):
            return wit.Member_Email(email)
        case Id(id):
            return wit.Member_Id(id)
        case GroupName(name):
            return wit.Member_Group(name)

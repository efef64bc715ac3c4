"""What the interface `identities` hands out: who is who in the source."""

from wit_world.exports import identities
from wit_world.exports.identities import Group, Member_Email, Page, Progress_Complete, User


class Reading(identities.Reading):
    def next(self, limit: int) -> Page:
        ann = User(email="ann@example.com", id=None, name="Ann", active=True)
        readers = Group(name="readers", members=[Member_Email(ann.email)], continues=False)
        return Page(users=[ann], groups=[readers], unreadable=[], progress=Progress_Complete())

"""What the interface `documents` hands out. Its resources must be in a module of its name."""

from datetime import UTC, datetime
from typing import Any

from wit_world.exports import documents
from wit_world.exports.documents import Limits, Page, Progress_Complete, Progress_More
from wit_world.imports.document import Access_Everyone, Data_Text, Content, Document

COUNT = 10
PAGE = 4
WRITTEN = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


class Cursor(documents.Cursor):
    def __init__(self, greeting: str, position: int):
        self.greeting = greeting
        self.position = position

    def next(self, limits: Limits) -> Page:
        start, end = self.position, min(self.position + min(PAGE, limits.documents), COUNT)
        self.position = end
        return Page(
            documents=[self.document(number) for number in range(start + 1, end + 1)],
            deleted=[],
            access_changes=[],
            unreadable=[],
            progress=Progress_More(str(end)) if end < COUNT else Progress_Complete(None),
        )

    def document(self, number: int) -> Document:
        return Document(
            id=f"hello-{number}",
            object_type="Greeting",
            view_url=f"https://example.com/hello/{number}",
            access=Access_Everyone(),
            title=f"{self.greeting} {number}",
            body=Content("text/plain", Data_Text(f"{self.greeting} from document {number}.")),
            updated_at=WRITTEN,
            **UNKNOWN,
        )


# A document names every field. These are the ones that this source has nothing for.
UNKNOWN: dict[str, Any] = dict(
    filename=None,
    summary=None,
    container=None,
    author=None,
    owner=None,
    created_at=None,
    updated_by=None,
    tags=[],
    status=None,
    comments=[],
    interactions=None,
    additional_urls=[],
    native_app_url=None,
    properties=[],
)

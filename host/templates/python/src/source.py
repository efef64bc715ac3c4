"""The source: notes in pages of JSON, on the web or in a folder. Replace it by yours."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sheaf_sdk import Fault, http

FIRST_PAGE = "notes-1.json"

# The folder that `sheaf.toml` grants, as the connector sees it.
SAMPLE = Path("/sample")


@dataclass
class Note:
    id: str
    # Seconds since 1970.
    updated: int
    title: str = ""
    text: str = ""
    url: str = ""
    author: str | None = None
    deleted: bool = False


class Source:
    def __init__(self, url: str | None, folder: Path = SAMPLE):
        self.url = url.rstrip("/") if url else None
        self.folder = folder

    def page(self, name: str) -> tuple[list[Note], str | None]:
        """The notes of a page, and the name of the next one. The last one has none."""
        said = self.read(name)
        try:
            return [Note(**note) for note in said["notes"]], said["next"]
        except (TypeError, KeyError) as error:
            raise Fault.retry(f"{name} is not as expected: {error}") from error

    def read(self, name: str) -> Any:
        if self.url:
            # What goes wrong says what to do: 401 asks for another credential, and 429 or 503 is tried again, after
            # what `Retry-After` says.
            return http.get(f"{self.url}/{name}").json()
        return json.loads((self.folder / name).read_text())

"""What becomes of the sample, without a host: `python -m unittest discover src`."""

import json
import unittest
from pathlib import Path

from connector import Reading
from sheaf_sdk import Complete, Crawl, Fault, Limits, More, Progress
from source import Source

SAMPLE = Path(__file__).parent.parent / "sample"


def crawl(crawl: Crawl) -> tuple[list[str], list[str], Progress]:
    """The ids that a crawl delivers and deletes, and how it ends."""
    reading = Reading(Source(None, SAMPLE), crawl)
    ids: list[str] = []
    deleted: list[str] = []
    while True:
        page = reading.next(Limits())
        ids += [document.id for document in page.documents]
        deleted += [reference.id for reference in page.deleted]
        if not isinstance(page.progress, More):
            return ids, deleted, page.progress


class Crawls(unittest.TestCase):
    def test_a_full_crawl_reads_every_page(self) -> None:
        ids, deleted, end = crawl(Crawl())
        self.assertEqual((len(ids), deleted), (7, []))
        self.assertEqual(end, Complete(bookmark="1767830400"))

    def test_a_crawl_resumes_at_its_checkpoint(self) -> None:
        checkpoint = json.dumps({"page": "notes-3.json", "newest": 0})
        ids, _, _ = crawl(Crawl(resume=checkpoint))
        self.assertEqual(ids, ["keys"])

    def test_an_incremental_crawl_reads_what_changed_and_says_what_is_gone(self) -> None:
        ids, deleted, _ = crawl(Crawl(bookmark="1767744000"))
        self.assertEqual((ids, deleted), (["keys"], ["fax"]))

    def test_a_strange_checkpoint_starts_over(self) -> None:
        with self.assertRaises(Fault):
            crawl(Crawl(resume="?"))


if __name__ == "__main__":
    unittest.main()

"""How answers become bodies and faults, with a server on this machine: `python3 -m unittest discover tests`."""

import sys
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote, unquote

sys.path.insert(0, str(Path(__file__).parent.parent))

from sheaf_sdk import Fault, Remedy, http


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        what, _, more = self.path[1:].partition("/")
        more = unquote(more)
        match what:
            case "ok":
                self.answer(200, b"hello")
            case "authorization":
                self.answer(200, self.headers.get("authorization", "none").encode())
            case "to":
                self.answer(302, b"", location=more)
            case "page":
                link = f'</page/{int(more) + 1}>; rel="next"' if int(more) < 3 else "</>; rel=prev"
                self.answer(200, more.encode(), link=link)
            case "cut":
                self.send_response(200)
                self.send_header("content-length", "10")
                self.end_headers()
                self.wfile.write(b"hel")
            case status:
                self.answer(int(status), b"no", retry_after=more)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.answer(200, self.headers["content-type"].encode() + b" " + body)

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 304:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if status == 304 else body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Http(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        cls.home = f"http://localhost:{cls.server.server_port}"
        Thread(target=cls.server.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.shutdown()
        cls.server.server_close()

    def to(self, url: str) -> str:
        return f"{self.home}/to/{quote(url, safe='')}"

    def test_a_url_is_fetched_and_redirects_are_followed(self) -> None:
        self.assertEqual(http.get(f"{self.home}/ok").text(), "hello")
        found = http.get(self.to(self.to("/ok")))
        self.assertEqual((found.text(), found.url), ("hello", f"{self.home}/ok"))

    def test_a_credential_goes_to_its_own_origin_only(self) -> None:
        elsewhere = self.home.replace("localhost", "127.0.0.1")
        for url, sent in (
            (f"{self.home}/authorization", "stand-in"),
            (self.to("/authorization"), "stand-in"),
            (self.to(f"{elsewhere}/authorization"), "none"),
        ):
            self.assertEqual(http.get(url, authorization="stand-in").text(), sent, url)

    def test_pages_are_followed_to_their_end(self) -> None:
        found = [page.text() for page in http.pages(f"{self.home}/page/1")]
        self.assertEqual(found, ["1", "2", "3"])

    def test_a_search_is_posted(self) -> None:
        answer = http.post(f"{self.home}/search", "application/json", b"{}")
        self.assertEqual(answer.text(), "application/json {}")

    def test_what_goes_wrong_is_a_fault_with_its_remedy(self) -> None:
        for url, remedy, pause in (
            (f"{self.home}/401", Remedy.REAUTHENTICATE, None),
            (f"{self.home}/403", Remedy.REAUTHENTICATE, None),
            (f"{self.home}/404", Remedy.FIX_SETTINGS, None),
            (f"{self.home}/418", Remedy.FIX_SETTINGS, None),
            (f"{self.home}/304", Remedy.FIX_SETTINGS, None),
            (f"{self.home}/429/7", Remedy.RETRY, 7),
            (f"{self.home}/503/Thu, 01 Jan 2026 00:00:00 GMT", Remedy.RETRY, 0),
            (f"{self.home}/500/soon", Remedy.RETRY, None),
            (f"{self.home}/cut", Remedy.RETRY, None),
            ("http://nowhere.invalid/", Remedy.RETRY, None),
            ("mailto:ann@example.com", Remedy.FIX_SETTINGS, None),
            ("http://[x", Remedy.FIX_SETTINGS, None),
        ):
            with self.assertRaises(Fault) as raised:
                http.get(url.replace(" ", "%20"))
            fault = raised.exception
            self.assertEqual((fault.remedy, fault.retry_after), (remedy, pause), url)

    def test_nothing_new_is_an_answer_to_who_asked_for_it(self) -> None:
        self.assertEqual(http.get(f"{self.home}/304", {"If-None-Match": "x"}).status, 304)

    def test_more_bytes_or_redirects_than_allowed_are_a_fault(self) -> None:
        with self.assertRaisesRegex(Fault, "larger than 4 bytes"):
            http.get(f"{self.home}/ok", max_bytes=4)
        with self.assertRaisesRegex(Fault, "redirects more than 5 times"):
            http.get(self.to("circle"))


class Links(unittest.TestCase):
    def test_a_link_s_url_may_have_commas(self) -> None:
        header = '<https://a.example.com/x?f=i,t&page=1>; rel="prev", </x?f=i,t&page=3>; title="a"; rel="next"'
        self.assertEqual(http.next_link(header), "/x?f=i,t&page=3")
        self.assertIsNone(http.next_link('<https://a.example.com/1>; rel="prev"'))
        self.assertIsNone(http.next_link(""))


if __name__ == "__main__":
    unittest.main()

"""What becomes of a feed's XML: `PYTHONPATH=../sdk-python python3 -m unittest`, in this folder."""

import unittest
from base64 import b64encode

from feed import Author, Entry, Feed, NotAFeed, Text, document_id, parse, timestamp

URL = "https://blog.example.com/feed.xml"

RSS = """<?xml version="1.0"?>
<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"
     xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:media="http://search.yahoo.com/mrss/"
     xmlns:atom="http://www.w3.org/2005/Atom">
  <channel>
    <title>The blog</title>
    <atom:link rel="self" href="feed.xml"/>
    <atom:link rel="next" href="?page=2"/>
    <item>
      <media:title>not this one</media:title>
      <title>Nuts &amp; bolts</title>
      <link> /nuts </link>
      <guid isPermaLink="false">tag:blog,2026:1</guid>
      <description>short</description>
      <content:encoded><![CDATA[<p>long</p>]]></content:encoded>
      <dc:creator>Ann</dc:creator>
      <pubDate>Thu, 01 Jan 2026 02:00:00 +0200</pubDate>
      <atom:updated>2026-01-02T00:00:00Z</atom:updated>
      <category>tools</category><category> </category><category>tools</category>
    </item>
  </channel>
</rss>"""

ATOM = """<?xml version="1.0"?>
<feed xmlns="http://www.w3.org/2005/Atom">
  <title type="html">The &lt;b&gt;blog&lt;/b&gt;</title>
  <link rel="prev-archive" href="https://archive.example.com/2025.xml"/>
  <entry>
    <id>tag:blog,2026:1</id>
    <title type="html">Nuts &amp;amp; &lt;i&gt;bolts&lt;/i&gt;</title>
    <link rel="edit" href="/edit/1"/>
    <link href="/nuts"/>
    <summary>short</summary>
    <content type="xhtml">
      <div xmlns="http://www.w3.org/1999/xhtml"><p>long<br/>and &lt; wide</p></div>
    </content>
    <author><name>Ann</name><email>ann@example.com</email></author>
    <published>2026-01-01T02:00:00+02:00</published>
    <updated>2026-01-02T00:00:00Z</updated>
    <category term="tools"/><category term="x" label="Label"/>
  </entry>
</feed>"""

RDF = """<?xml version="1.0"?>
<rdf:RDF xmlns="http://purl.org/rss/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
         xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <channel><title>The blog</title></channel>
  <item rdf:about="https://blog.example.com/nuts">
    <title>Nuts</title>
    <link>https://blog.example.com/nuts</link>
    <description>short</description>
    <dc:date>2026-01-01</dc:date>
    <dc:subject>tools</dc:subject>
  </item>
</rdf:RDF>"""


def read(xml: str) -> Feed:
    return parse(xml.encode(), URL)


def item(xml: str) -> Entry:
    [entry] = read(f"<rss><channel><item>{xml}</item></channel></rss>").entries
    return entry


class Parsing(unittest.TestCase):
    def test_rss(self) -> None:
        found = read(RSS)
        self.assertEqual(found.title, "The blog")
        self.assertEqual(found.older, "https://blog.example.com/feed.xml?page=2")
        entry = Entry(
            guid="tag:blog,2026:1",
            link="https://blog.example.com/nuts",
            title="Nuts & bolts",
            body=Text("text/html", "<p>long</p>"),
            summary=Text("text/html", "short"),
            author=Author("Ann", ""),
            created=1767225600,
            updated=1767312000,
            tags=["tools"],
        )
        self.assertEqual(found.entries, [entry])

    def test_atom(self) -> None:
        found = read(ATOM)
        self.assertEqual(found.title, "The blog")
        self.assertEqual(found.older, "https://archive.example.com/2025.xml")
        entry = Entry(
            guid="tag:blog,2026:1",
            link="https://blog.example.com/nuts",
            title="Nuts & bolts",
            body=Text("text/html", "<div><p>long<br>and &lt; wide</p></div>"),
            summary=Text("text/plain", "short"),
            author=Author("Ann", "ann@example.com"),
            created=1767225600,
            updated=1767312000,
            tags=["tools", "Label"],
        )
        self.assertEqual(found.entries, [entry])

    def test_rdf(self) -> None:
        entry = Entry(
            guid="https://blog.example.com/nuts",
            link="https://blog.example.com/nuts",
            title="Nuts",
            body=Text("text/html", "short"),
            summary=None,
            author=None,
            created=1767225600,
            updated=1767225600,
            tags=["tools"],
        )
        self.assertEqual(read(RDF), Feed("The blog", [entry], older=""))

    def test_a_guid_is_a_link_unless_it_says_otherwise(self) -> None:
        self.assertEqual(item("<guid>https://x.com/1</guid>").link, "https://x.com/1")
        self.assertFalse(item('<guid isPermaLink="false">https://x.com/1</guid>').link)

    def test_a_link_does_for_a_guid(self) -> None:
        self.assertEqual(item("<link>https://x.com/1</link>").guid, "https://x.com/1")

    def test_a_link_that_opens_no_web_page_is_none(self) -> None:
        for link in ("javascript:alert(1)", "mailto:ann@example.com", "http://[x", ""):
            self.assertFalse(item(f"<link>{link}</link>").link, link)

    def test_an_author_may_be_an_address(self) -> None:
        self.assertEqual(
            item("<author>ann@example.com (Ann)</author>").author, Author("Ann", "ann@example.com")
        )
        self.assertEqual(item("<author>Ann, Ben</author>").author, Author("Ann, Ben", ""))

    def test_content_that_is_elsewhere_or_no_text_is_left_to_the_summary(self) -> None:
        for content in (
            '<content src="a.html" type="text/html"/>',
            '<content type="image/png">AA==</content>',
        ):
            xml = f'<feed xmlns="http://www.w3.org/2005/Atom"><entry>{content}<summary>s</summary></entry></feed>'
            [entry] = read(xml).entries
            self.assertEqual((entry.body, entry.summary), (Text("text/plain", "s"), None))

    def test_old_encodings_and_empty_first_lines_are_read(self) -> None:
        xml = '\n<?xml version="1.0" encoding="windows-1251"?>'
        xml += "<rss><channel><title>Мир</title></channel></rss>"
        self.assertEqual(parse(xml.encode("cp1251"), URL).title, "Мир")

    def test_every_encoding_is_read_that_python_knows(self) -> None:
        for name, title in (
            ("euc-kr", "한국어"),
            ("ks_c_5601-1987", "한국어"),
            ("shift_jis", "日本語"),
            ("x-sjis", "①日本語"),
            ("iso-2022-jp", "日本語"),
            ("euc-jp", "日本語"),
            ("big5", "中文"),
            ("gb2312", "中文"),
            ("utf-16", "Мир"),
            ("koi8-u", "Мир"),
            ("iso-8859-1", "caf\u00e9 \u2013"),
        ):
            xml = f'<?xml version="1.0" encoding="{name}"?>'
            xml += f"<rss><channel><title>{title}</title></channel></rss>"
            python = {"x-sjis": "cp932", "iso-8859-1": "cp1252"}.get(name, name)
            self.assertEqual(parse(xml.encode(python), URL).title, title, name)

    def test_the_server_s_word_counts_before_the_feed_s_and_broken_bytes_are_replaced(self) -> None:
        xml = "<rss><channel><title>Мир</title></channel></rss>"
        declared = '<?xml version="1.0" encoding="iso-8859-1"?>' + xml
        found = parse(declared.encode("koi8_r"), URL, "text/xml; charset=koi8-r")
        self.assertEqual(found.title, "Мир")
        self.assertEqual(parse(xml.encode(), URL, "text/xml; charset=klingon").title, "Мир")
        self.assertEqual(parse(xml.encode()[:-24] + b"\xff</title></channel></rss>", URL).title, "Мир\ufffd")

    def test_names_of_characters_are_read_that_only_html_knows(self) -> None:
        self.assertEqual(item("<title>a&nbsp;&eacute; &lt;b&amp;</title>").title, "a\xa0é <b&")

    def test_links_are_relative_to_xml_base(self) -> None:
        xml = """<feed xmlns="http://www.w3.org/2005/Atom" xml:base="https://x.com/a/">
            <link rel="next" href="2"/><entry xml:base="b/"><id>urn:1</id><link href="c"/></entry>
            <entry><id>urn:2</id><link xml:base="/d/" href="e"/></entry></feed>"""
        found = read(xml)
        self.assertEqual(found.older, "https://x.com/a/2")
        self.assertEqual([entry.link for entry in found.entries], ["https://x.com/a/b/c", "https://x.com/d/e"])
        xml = """<rss xml:base="https://x.com/"><channel xml:base="a/">
            <item><link xml:base="b/">c</link></item></channel></rss>"""
        self.assertEqual(read(xml).entries[0].link, "https://x.com/a/b/c")

    def test_content_in_base64_is_what_it_holds(self) -> None:
        for attributes, content, body in (
            ('type="application/octet-stream"', b"<b>bold</b>", Text("text/html", "<b>bold</b>")),
            ('type="application/octet-stream"', b"plain", Text("text/plain", "plain")),
            ('type="application/pdf"', b"%PDF-1.7", Text("application/pdf", b"%PDF-1.7")),
            ('type="image/png"', b"\x89PNG", None),
        ):
            text = b64encode(content).decode()
            xml = f'<feed xmlns="http://www.w3.org/2005/Atom"><entry><content {attributes}>{text}</content></entry></feed>'
            self.assertEqual(read(xml).entries[0].body, body, attributes)

    def test_the_draft_of_atom_is_read(self) -> None:
        xml = """<feed version="0.3" xmlns="http://purl.org/atom/ns#"><entry>
            <title mode="base64">PGI+VGl0bGU8L2I+</title><modified>2026-01-02T00:00:00Z</modified>
            <issued>2026-01-01T00:00:00Z</issued><link rel="alternate" href="/1"/>
            <content type="text/html" mode="escaped">&lt;p>long&lt;/p></content></entry></feed>"""
        [entry] = read(xml).entries
        self.assertEqual((entry.title, entry.link), ("Title", "https://blog.example.com/1"))
        self.assertEqual((entry.created, entry.updated), (1767225600, 1767312000))
        self.assertEqual(entry.body, Text("text/html", "<p>long</p>"))

    def test_what_is_no_feed_is_refused(self) -> None:
        bomb = '<!DOCTYPE rss [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><rss>&b;</rss>'
        for xml, reason in (
            ("", "not XML"),
            ("<rss><channel>", "not XML"),
            ("<html/>", "<html>"),
            ("<rss/>", "<rss>"),
            (bomb, "DOCTYPE"),
            ('<?xml version="1.0" encoding="klingon"?><rss/>', "encoding klingon is not known"),
        ):
            with self.assertRaisesRegex(NotAFeed, reason):
                read(xml)


class Ids(unittest.TestCase):
    def test_a_short_uri_in_lower_case_stays_as_it_is(self) -> None:
        for guid in ("https://x.com/?p=1", "tag:x.com,2026:1", "urn:uuid:0af3"):
            self.assertEqual(document_id(URL, guid), guid)

    def test_anything_else_is_hashed(self) -> None:
        for guid in (
            "https://x.com/A",
            "https://x.com/ü",
            "https://x.com/" + "a" * 200,
            "17",
            "a b",
        ):
            self.assertRegex(document_id(URL, guid), "^[0-9a-f]{64}$")

    def test_what_is_no_uri_belongs_to_its_feed(self) -> None:
        self.assertNotEqual(document_id(URL, "17"), document_id("https://other.com", "17"))
        self.assertEqual(document_id(URL, "urn:A"), document_id("https://other.com", "urn:A"))


class Timestamps(unittest.TestCase):
    def test_both_ways_to_write_a_date_are_read(self) -> None:
        for text in (
            "2026-01-01T00:00:00Z",
            "2026-01-01",
            "Thu, 01 Jan 2026 00:00:00 GMT",
            "1 Jan 2026 00:00 -0000",
        ):
            self.assertEqual(timestamp(text), 1767225600, text)

    def test_what_is_no_date_is_none(self) -> None:
        for text in ("", "yesterday", "Thu, 32 Jan 2026 00:00:00 GMT"):
            self.assertIsNone(timestamp(text), text)

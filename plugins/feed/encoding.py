"""What a feed's bytes are as text. Knows nothing of the host, so tests need none."""

import codecs
import encodings
import re
from collections.abc import Iterator
from contextlib import suppress
from html.entities import html5
from importlib import import_module
from pkgutil import iter_modules

# Encodings are found by their names. What is not imported now is not there when the component runs.
for found in iter_modules(encodings.__path__):
    # Some are another system's.
    with suppress(ImportError):
        import_module(f"encodings.{found.name}")

MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# How `<?` begins in encodings that write ASCII in another way.
BEGINNINGS = {
    b"<\0\0\0?\0\0\0": "utf-32-le",
    b"\0\0\0<\0\0\0?": "utf-32-be",
    b"<\0?\0": "utf-16-le",
    b"\0<\0?": "utf-16-be",
    b"\x4c\x6f": "cp037",
}
# Who names the first mostly writes the second, which has all of it and more.
LARGER = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
}
# Names that browsers know and Python does not.
OTHER_NAMES = {"x-sjis": "cp932", "x-euc-jp": "euc_jp", "x-gbk": "gb18030", "x-mac-roman": "mac_roman"}

CHARSET = re.compile(r"charset\s*=\s*[\"']?([^\s\"';]+)", re.IGNORECASE)
DECLARATION = re.compile(r"\s*<\?xml[^>]*?\bencoding\s*=\s*[\"']([^\"']*)[\"']")
ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]*);")


class Unknown(Exception):
    """The name of an encoding that nobody knows."""


def decode(xml: bytes, content_type: str) -> str:
    """The text: by its own mark, by the server's word, by its declaration, or as UTF-8."""
    names = list(named(xml, content_type))
    known = [name for name in map(codec, names) if name]
    for name in known:
        for name in (LARGER.get(name, name), name):
            with suppress(UnicodeError):
                return xml.decode(name).removeprefix("\ufeff")
    if names and not known:
        raise Unknown(names[-1])
    # A broken byte is no reason to do without the rest.
    return xml.decode(known[0] if known else "utf-8", "replace").removeprefix("\ufeff")


def named(xml: bytes, content_type: str) -> Iterator[str]:
    for mark, name in MARKS.items():
        if xml.startswith(mark):
            yield name
            return
    family = next((name for start, name in BEGINNINGS.items() if xml.startswith(start)), None)
    if charset := CHARSET.search(content_type):
        yield charset[1]
    declared = DECLARATION.match(xml[:2048].decode(family or "latin-1", "replace"))
    # A declaration that can be read as ASCII is not in UTF-16, whatever it says.
    if declared and (family or not declared[1].lower().startswith(("utf-16", "utf16", "ucs"))):
        yield declared[1]
    if family:
        yield family
    elif not declared:
        yield "utf-8"


def codec(name: str) -> str | None:
    """Python's name of an encoding of texts, or nothing if it has none."""
    name = name.strip().lower()
    with suppress(LookupError, ValueError, TypeError):
        found = codecs.lookup(OTHER_NAMES.get(name, name))
        # There are others, such as base64.
        if isinstance(found.decode(b"")[0], str) and found.name not in NO_TEXTS:
            return found.name
    return None


NO_TEXTS = {"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "rot13"}


def without_entities(text: str) -> str:
    """HTML's named characters, which XML does not know, as themselves."""

    def character(match: re.Match[str]) -> str:
        found = html5.get(match[1] + ";")
        return match[0] if found is None or found in "<>&\"'" else found

    return ENTITY.sub(character, text)

"""XML as S3's clients send and read it: bounded, without entities or a DTD, in one namespace."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, ParseError, SubElement, tostring

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from app.storage.s3 import errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.storage.serve.call import StorageCall

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
# Ten thousand parts, each with its checksum.
BODY_BYTES_MAX = 4 * 1024 * 1024
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
Value = Any


def parsed_body(call: StorageCall, name: str) -> Element:
    """Return the element of this name that a body is. Raises StorageError."""
    if (call.length or 0) > BODY_BYTES_MAX:
        raise errors.malformed_xml()
    raw = b"".join(call.chunks(BODY_BYTES_MAX))
    try:
        root: Element = fromstring(raw, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise errors.malformed_xml() from error
    if plain_name(root) != name:
        raise errors.malformed_xml()
    return root


def plain_name(element: Element) -> str:
    """Return an element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def children(element: Element, name: str) -> list[Element]:
    """Return an element's children of a name."""
    return [child for child in element if plain_name(child) == name]


def text_of(element: Element, name: str) -> str | None:
    """Return the text of the only child of a name; None where there is none. Raises StorageError for several."""
    found = children(element, name)
    if len(found) > 1:
        raise errors.malformed_xml()
    return (found[0].text or "") if found else None


def document(name: str, members: Mapping[str, Value] | Iterable[tuple[str, Value]]) -> bytes:
    """Return a document. members: texts, numbers, booleans and mappings by name; a list is one element for each."""
    root = Element(name, xmlns=NAMESPACE)
    _fill(root, members)
    return serialized(root)


def plain_text(text: str) -> str:
    """Return a text without what no XML can hold, as it may stand in rows that were written by hand, or in a URL."""
    return _NO_XML.sub("\ufffd", text)


def serialized(root: Element) -> bytes:
    """Return an element as text, with the declaration before it."""
    text: bytes = tostring(root, encoding="utf-8", xml_declaration=False)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + text


def _fill(element: Element, members: Mapping[str, Value] | Iterable[tuple[str, Value]]) -> None:
    pairs = members.items() if hasattr(members, "items") else members
    for name, value in pairs:
        for each in value if isinstance(value, list) else [value]:
            if each is None:
                continue
            child = SubElement(element, name)
            if isinstance(each, dict):
                _fill(child, each)
            else:
                child.text = plain_text(("false", "true")[each] if isinstance(each, bool) else str(each))

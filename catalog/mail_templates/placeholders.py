"""Placeholders such as `{{ .Email }}`: which there are, and how a value is written where one of them stands.

What stands in a value is never HTML: it is escaped by where its placeholder is, in a text, an attribute, or an address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = ("ConfirmationURL", "Token", "TokenHash", "SiteURL", "RedirectTo", "Email", "NewEmail")
LONGEST_DATA = 200
_DATA = re.compile(r"Data(\.[A-Za-z_]\w{0,62}){1,4}", re.ASCII)
_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_URLS = frozenset({"href", "src", "action", "formaction", "background", "cite", "poster", "xlink:href"})
# Code, or a notation of its own: nothing that somebody else has written may stand there.
_CODE = frozenset({"style", "srcdoc", "srcset"})
_OURS = frozenset({"ConfirmationURL", "SiteURL", "RedirectTo"})
_WEB = re.compile(r"https?://", re.IGNORECASE)
_PATH = "/:@!$&'()*+,;=%~-._"
_TIGHT = str.maketrans({letter: f"&#{ord(letter)};" for letter in " \t\n\r\f`="})

Place = Literal["text", "attribute", "url", "path", "query", "nowhere"]


class BadTemplate(ValueError):
    """A template names what there is not, or names it where it cannot stand."""


@dataclass(frozen=True)
class Placeholder:
    """One placeholder of a template: from where to where it goes, and its name without the dot."""

    start: int
    end: int
    name: str


def placeholders(template: str) -> list[Placeholder]:
    """Return the placeholders of a template, in order. Raises BadTemplate."""
    found = [Placeholder(one.start(), one.end(), one[1].strip()) for one in _PLACEHOLDER.finditer(template)]
    unknown = [one.name for one in found if not _is_known(one.name)]
    if unknown or template.count("{{") != len(found):
        named = ", ".join(f".{name}" for name in (*NAMES, "Data.name"))
        raise BadTemplate(f"has a placeholder that is not one of {named}")
    return [Placeholder(one.start, one.end, one.name.removeprefix(".")) for one in found]


def check_html(template: str) -> set[str]:
    """Return the names of the placeholders of a template in HTML. Raises BadTemplate."""
    found = placeholders(template)
    for one, place in zip(found, _places(template, found), strict=True):
        if place == "nowhere":
            raise BadTemplate(f"has .{one.name} in a script, a style, a comment or a tag, where no text can stand")
    return {one.name for one in found}


def fill_html(template: str, values: Mapping[str, object]) -> str:
    """Return the HTML with the values in it, each escaped by where it stands. Raises BadTemplate."""
    found = placeholders(template)
    places = _places(template, found)
    written = [_escaped(one.name, value_of(values, one.name), place) for one, place in zip(found, places, strict=True)]
    return _joined(template, found, written)


def fill_text(template: str, values: Mapping[str, object]) -> str:
    """Return the text with the values in it as they are. Raises BadTemplate."""
    found = placeholders(template)
    return _joined(template, found, [value_of(values, one.name) for one in found])


def value_of(values: Mapping[str, object], name: str) -> str:
    """Return what a placeholder stands for; nothing where there is no such value, or it is a list or an object."""
    found: object = values
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if found is None or isinstance(found, dict | list):
        return ""
    text = str(found).lower() if isinstance(found, bool) else str(found)
    text = "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)
    return text[:LONGEST_DATA] if name.startswith("Data.") else text


def _is_known(name: str) -> bool:
    bare = name.removeprefix(".")
    return bare != name and (bare in NAMES or _DATA.fullmatch(bare) is not None)


def _joined(template: str, found: list[Placeholder], written: list[str]) -> str:
    parts, at = [], 0
    for one, text in zip(found, written, strict=True):
        parts += [template[at : one.start], text]
        at = one.end
    return "".join([*parts, template[at:]])


def _escaped(name: str, value: str, place: Place) -> str:
    if place == "nowhere":
        return ""
    if place == "url" and name not in _OURS and _WEB.match(value) is None:
        value = "#"
    elif place == "url":
        value = quote(value, safe=_PATH + "?#[]")
    elif place == "path":
        value = quote(value, safe=_PATH)
    elif place == "query":
        value = quote(value, safe="")
    return escape(value) if place == "text" else escape(value).translate(_TIGHT)


def _places(template: str, found: list[Placeholder]) -> list[Place]:
    mark = "ldbplace"
    while mark in template.lower():
        mark += "x"
    parser = _Places(mark, [one.name for one in found])
    parser.feed(_joined(template, found, [f"{mark}{number}z" for number in range(len(found))]))
    parser.close()
    return [parser.places.get(number, "nowhere") for number in range(len(found))]


class _Places(HTMLParser):
    """Reads HTML in which marks stand for the placeholders, and notes where each of them is."""

    def __init__(self, mark: str, names: list[str]) -> None:
        super().__init__(convert_charrefs=True)
        self._marks, self._names = re.compile(rf"{mark}(\d+)z"), names
        self.places: dict[int, Place] = {}

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:
            for found in self._marks.finditer(data):
                self.places[int(found[1])] = "text"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - its own
        for name, value in attrs:
            for found in self._marks.finditer(value or ""):
                self.places[int(found[1])] = self._place_in(name, (value or "")[: found.start()])

    def _place_in(self, attribute: str, before: str) -> Place:
        if attribute in _CODE or attribute.startswith("on"):
            return "nowhere"
        if attribute not in _URLS:
            return "attribute"
        if not before.strip():
            return "url"
        if "?" in before or "#" in before:
            return "query"
        # Until then it may be a part of what the address begins with, such as `java` before `script:`.
        begun = ":" in before or "/" in before or self._marks.search(before) is not None
        return "path" if begun else "query"

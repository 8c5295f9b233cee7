"""A letter in words: a project's own template, or the built-in one, filled in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from catalog.mail_templates.builtin import BUILT_IN
from catalog.mail_templates.placeholders import fill_html, fill_text
from catalog.mail_templates.plain_text import plain_text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["confirmation", "recovery", "magic_link", "invite", "email_change", "reauthentication"]
LONGEST_SUBJECT = 200


class Template(Protocol):
    """A template as a project's settings keep it. text: None to have it made of the body."""

    @property
    def subject(self) -> str:
        """The subject."""

    @property
    def body(self) -> str:
        """The HTML."""

    @property
    def text(self) -> str | None:
        """What readers without HTML see."""


@dataclass(frozen=True)
class RenderedMail:
    """A letter in words: HTML, and a text for readers without it."""

    subject: str
    html: str = field(repr=False)
    text: str = field(repr=False)


def render(kind: Kind, own: Template | None, values: Mapping[str, object]) -> RenderedMail:
    """Return the letter in the words of a project's own template, or without one of the built-in one.

    values  by the names of placeholders; `Data` is an object

    Raises BadTemplate.
    """
    if own is None:
        known = BUILT_IN[kind]
        return RenderedMail(_line(known.subject, values), fill_html(known.html, values), fill_text(known.text, values))
    html = fill_html(own.body, values)
    text = plain_text_of(html) if own.text is None else fill_text(own.text, values)
    return RenderedMail(_line(own.subject, values), html, text)


def _line(template: str, values: Mapping[str, object]) -> str:
    """Return the subject on one line: a line break would begin another header."""
    filled = fill_text(template, values)
    shown = "".join(letter if letter.isprintable() else " " for letter in filled)
    return " ".join(shown.split())[:LONGEST_SUBJECT]

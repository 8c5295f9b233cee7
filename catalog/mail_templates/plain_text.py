"""The text of a mail for readers without HTML, made of the HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markdownify import MarkdownConverter

if TYPE_CHECKING:
    from bs4 import Tag


class _PlainText(MarkdownConverter):
    """Markdown without its marks: a heading is a line, a link its text and its address, a picture what it says."""

    def convert_a(self, el: Tag, text: str, **_: Any) -> str:
        address, said = str(el.get("href") or ""), " ".join(text.split())
        if not address or address == said:
            return said
        return f"{said}: {address}" if said else address

    def convert_hN(self, _n: int, _el: Tag, text: str, *_: Any) -> str:  # noqa: N802 - the library's name
        said = " ".join(text.split())
        return f"\n\n{said}\n\n" if said else ""

    def convert_img(self, el: Tag, _text: str, **_: Any) -> str:
        return str(el.get("alt") or "")

    def _nothing(self, _el: Tag, _text: str, **_: Any) -> str:
        return ""

    def _as_it_is(self, _el: Tag, text: str, **_: Any) -> str:
        return text

    convert_b = convert_strong = convert_em = convert_i = convert_code = convert_del = convert_s = _as_it_is
    convert_script = convert_style = convert_head = convert_title = _nothing


def plain_text_of(html: str) -> str:
    """Return the text of HTML, its links with their addresses.

    HTML that is nested too deeply to be read gives its letters alone.
    """
    # Nothing is escaped: nobody reads it as Markdown.
    try:
        text = _PlainText(escape_asterisks=False, escape_underscores=False, bullets="*").convert(html)
    except RecursionError:
        text = html
    lines = [line.rstrip() for line in text.strip().splitlines()]
    kept = [line for line, before in zip(lines, ["", *lines], strict=False) if line or before]
    return "\n".join(kept) + "\n"

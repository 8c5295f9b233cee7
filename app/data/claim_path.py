"""The path to the claim of a token that names a role: PostgREST's own syntax, and what of JSON Path is like it."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_TEXT = r"\"(?:[^\"\\]|\\.)*\""
_KEY = rf"\.(?P<name>[A-Za-z0-9_$@-]+)|\.(?P<quoted>{_TEXT})|\[(?P<bracketed>{_TEXT})\]"
_FILTER = rf"\[\?\(@ *(?P<operator>==\^|==|!=|\^==|\*==) *(?P<text>{_TEXT})\)\]"
_PART = re.compile(rf"{_KEY}|\[(?P<number>[0-9]+)\]|{_FILTER}")
# A dollar sign is two in a configuration file; a filter is the last of a path.
_ROOT = re.compile(r"\${0,2}(?=[.\[])")
_COMPARED: dict[str, Callable[[str, str], bool]] = {
    "==": lambda value, text: value == text,
    "!=": lambda value, text: value != text,
    "^==": lambda value, text: value.startswith(text),
    "==^": lambda value, text: value.endswith(text),
    "*==": lambda value, text: text in value,
}


def is_path(path: str) -> bool:
    """Return whether a text is a path."""
    return bool(_parts(path))


def find(path: str, claims: dict[str, Any]) -> Any:
    """Return what a path leads to in the claims of a token, or None."""
    found: Any = claims
    for part in _parts(path):
        found = _step(found, part)
    return found


@functools.lru_cache(maxsize=1024)
def _parts(path: str) -> tuple[re.Match[str], ...]:
    root, found = _ROOT.match(path), list[re.Match[str]]()
    at = root.end() if root else len(path)
    while at < len(path):
        part = _PART.match(path, at)
        if part is None or (found and found[-1]["operator"]):
            return ()
        found.append(part)
        at = part.end()
    return tuple(found)


def _step(found: Any, part: re.Match[str]) -> Any:
    if part["number"] is not None:
        return found[int(part["number"])] if isinstance(found, list) and int(part["number"]) < len(found) else None
    if part["operator"] is not None:
        fits, text = _COMPARED[part["operator"]], _unquoted(part["text"])
        texts = [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
        return next((each for each in texts if fits(each, text)), None)
    name = part["name"] or _unquoted(part["quoted"] or part["bracketed"])
    return found.get(name) if isinstance(found, dict) else None


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])

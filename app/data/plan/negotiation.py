"""Which of the accepted media types an answer has, and what of the database makes it where we do not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from app.data.errors import PgrstError
from app.data.names import Name
from app.data.parse import media
from app.data.parse.media import Media

if TYPE_CHECKING:
    from collections.abc import Iterable

OURS = frozenset({media.JSON, media.CSV, media.GEOJSON})
ANY = frozenset({media.ANY, "application/*"})


@dataclass(frozen=True)
class Handler:
    """What makes an answer of a media type: an aggregate of rows, or the type that a function's value is cast to.

    target: the relation whose rows it takes, or the function; None: any rows. is_binary: it makes bytes, not a text.
    """

    function: Name
    target: Name | None
    media: Media
    is_binary: bool


Handlers: TypeAlias = dict[tuple[Name | None, str], Handler]


def handlers_of(entries: Iterable[list[Any]]) -> Handlers:
    """Return the handlers of the catalogue by their target and the media type that they are asked for by."""
    found: Handlers = {}
    for schema, function, target_schema, target, kind, sent, is_binary in entries:
        of = Name(target_schema, target) if target is not None else None
        found[of, kind] = Handler(Name(schema, function), of, Media(sent), is_binary)
    return found


def negotiate(
    accepts: list[Media], target: Name, handlers: Handlers, *, whole: bool, plans: bool
) -> tuple[Media, Handler | None]:
    """Return the first accepted media type that there is, with its handler where it is none of ours.

    whole: all columns of the target are asked for and nothing else, which a handler of its rows needs. plans: execution
    plans are given away. Raises PgrstError (PGRST107).
    """
    for wanted in accepts:
        if wanted.kind in (media.OBJECT, media.ARRAY):
            return wanted, None
        if wanted.inner is not None:
            inner = _found(wanted.inner, target, handlers, whole=whole) if plans else None
            if inner is not None:
                return replace(wanted, inner=inner[0] if wanted.inner.kind in ANY else wanted.inner), inner[1]
        elif found := _found(wanted, target, handlers, whole=whole):
            return found
    names = ", ".join(each.name for each in accepts)
    raise PgrstError("PGRST107", f"None of these media types are available: {names}")


def _found(wanted: Media, target: Name, handlers: Handlers, *, whole: bool) -> tuple[Media, Handler | None] | None:
    kind = wanted.kind
    if kind in (media.OBJECT, media.ARRAY):
        return wanted, None
    if handlers:
        own = (handlers.get((target, media.ANY)) or handlers.get((target, kind))) if whole else None
        if handler := own or handlers.get((None, kind)):
            return handler.media, handler
    if kind in OURS:
        return wanted, None
    return (Media(media.JSON), None) if kind in ANY else None

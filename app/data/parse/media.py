"""Media types: what the client accepts, and which of it we can answer with."""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.data.errors import PgrstError

OBJECT, ARRAY, PLAN = "application/vnd.pgrst.object", "application/vnd.pgrst.array", "application/vnd.pgrst.plan"
JSON, CSV, OPENAPI, ANY = "application/json", "text/csv", "application/openapi+json", "*/*"
OCTETS, FORM, TEXT, XML = "application/octet-stream", "application/x-www-form-urlencoded", "text/plain", "text/xml"
_PART = re.compile(r"\s*([A-Za-z0-9.*+_-]+/[A-Za-z0-9.*+_-]+)\s*((?:;[^;]*)*)")
_PARAMETER = re.compile(r";\s*([A-Za-z0-9-]+)\s*=\s*(\"[^\"]*\"|[^;\s]+)")


@dataclass(frozen=True)
class Media:
    """One media type, read: `kind` is its plain name, `stripped` whether null keys are left out."""

    kind: str
    stripped: bool = False
    inner: str = ""
    options: tuple[str, ...] = ()

    @property
    def single(self) -> bool:
        """Return whether exactly one object is asked for."""
        return self.kind == OBJECT

    @property
    def content_type(self) -> str:
        """Return the Content-Type of an answer."""
        if self.kind in (OBJECT, ARRAY):
            return f"{self.kind}+json{';nulls=stripped' if self.stripped else ''}; charset=utf-8"
        if self.kind in (JSON, CSV, TEXT, XML, OPENAPI):
            return f"{self.kind}; charset=utf-8"
        return self.kind


def read(text: str) -> Media:
    """Read one media type."""
    match = _PART.match(text)
    if match is None:
        return Media(text.strip())
    kind, parameters = match[1].lower(), {k.lower(): v.strip('"') for k, v in _PARAMETER.findall(match[2])}
    stripped = parameters.get("nulls") == "stripped"
    plain = kind.removesuffix("+json")
    if plain == OBJECT:
        return Media(OBJECT, stripped)
    if plain == ARRAY:
        return Media(ARRAY, stripped=True) if stripped else Media(JSON)
    return Media(kind)


def parse_accept(header: str | None) -> list[Media]:
    """Return what an Accept header lists, best first."""
    if not header or not header.strip():
        return [Media(ANY)]
    weighed = []
    for position, part in enumerate(_split(header)):
        quality = re.search(r";\s*q\s*=\s*([0-9.]+)", part)
        weight = float(quality[1]) if quality and re.fullmatch(r"[01](\.[0-9]{0,3})?", quality[1]) else 1.0
        weighed.append((-weight, position, part))
    return [read(part) for _, _, part in sorted(weighed)]


def negotiate(wanted: list[Media]) -> Media:
    """Return the first that can be answered with. Raises PgrstError (PGRST107)."""
    for media in wanted:
        if media.kind in (OBJECT, ARRAY, JSON, CSV):
            return media
        if media.kind in (ANY, "application/*"):
            return Media(JSON)
    names = ", ".join(media.content_type.partition("; charset")[0] for media in wanted)
    raise PgrstError("PGRST107", f"None of these media types are available: {names}")


def _split(header: str) -> list[str]:
    return [part for part in re.findall(r"(?:[^,\"]|\"[^\"]*\")+", header) if part.strip()]

"""Media types: what the client accepts, and which of it we can answer with."""

from __future__ import annotations

import re
from dataclasses import dataclass

OBJECT, ARRAY, PLAN = "application/vnd.pgrst.object", "application/vnd.pgrst.array", "application/vnd.pgrst.plan"
JSON, CSV, OPENAPI, ANY = "application/json", "text/csv", "application/openapi+json", "*/*"
OCTETS, FORM, TEXT, XML = "application/octet-stream", "application/x-www-form-urlencoded", "text/plain", "text/xml"
PLAN_OPTIONS = ("analyze", "verbose", "settings", "buffers", "wal")
GEOJSON = "application/geo+json"
_WITH_CHARSET = frozenset({OBJECT, ARRAY, PLAN, JSON, CSV, TEXT, XML, OPENAPI, FORM, GEOJSON, ANY})
_PART = re.compile(r"\s*([A-Za-z0-9.*+_-]+/[A-Za-z0-9.*+_-]+)\s*((?:;[^;]*)*)")
_PARAMETER = re.compile(r";\s*([A-Za-z0-9-]+)\s*=\s*(\"[^\"]*\"|[^;\s]+)")


@dataclass(frozen=True)
class Media:
    """One media type, read: `kind` is its plain name, `stripped` whether null keys are left out.

    Of an execution plan, inner is what it would be the plan of, form how it is written, options what else it tells.
    """

    kind: str
    stripped: bool = False
    inner: Media | None = None
    form: str = "text"
    options: tuple[str, ...] = ()

    @property
    def single(self) -> bool:
        """Return whether exactly one object is asked for."""
        return self.kind == OBJECT

    @property
    def is_plan(self) -> bool:
        """Return whether the execution plan of a statement is asked for."""
        return self.kind == PLAN

    @property
    def name(self) -> str:
        """Return the media type with its parameters."""
        if self.kind in (OBJECT, ARRAY):
            return f"{self.kind}+json{';nulls=stripped' if self.stripped else ''}"
        if self.inner is not None:
            options = f"; options={'|'.join(self.options)}" if self.options else ""
            return f'{self.kind}+{self.form}; for="{self.inner.name}"{options}'
        return self.kind

    @property
    def content_type(self) -> str:
        """Return the Content-Type of an answer."""
        return f"{self.name}; charset=utf-8" if self.kind in _WITH_CHARSET else self.name


def read(text: str) -> Media:
    """Read one media type."""
    match = _PART.match(text)
    if match is None:
        return Media(text.strip())
    kind, parameters = match[1].lower(), {k.lower(): v.strip('"') for k, v in _PARAMETER.findall(match[2])}
    stripped = parameters.get("nulls") == "stripped"
    plain = kind.removesuffix("+json").removesuffix("+text")
    if plain == OBJECT:
        return Media(OBJECT, stripped)
    if plain == ARRAY:
        return Media(ARRAY, stripped=True) if stripped else Media(JSON)
    if plain == PLAN:
        asked = parameters.get("options", "").split("|")
        inner = read(parameters.get("for", JSON))
        form = "json" if kind.endswith("+json") else "text"
        # A plan is of an answer with rows, never of another plan.
        return Media(
            PLAN, inner=Media(JSON) if inner.is_plan else inner, form=form,
            options=tuple(each for each in PLAN_OPTIONS if each in asked),
        )  # fmt: skip
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


def _split(header: str) -> list[str]:
    return [part for part in re.findall(r"(?:[^,\"]|\"[^\"]*\")+", header) if part.strip()]

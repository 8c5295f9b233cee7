"""Requests understood and planned once for each shape: what differs in values alone is not planned again."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from psycopg import sql

from app.data.errors import PgrstError
from app.data.parse import request as requests
from app.data.parse.body import Payload
from app.data.parse.shapes import has_mark, mark_of, marked_body, shape_of
from app.data.sql import statement
from app.data.sql.conditions import array_literal

if TYPE_CHECKING:
    from collections.abc import Hashable

    from app.data.config import DataConfig
    from app.data.parse.request import RawRequest, ReadBody, Request, Shape
    from app.data.plan.schema import SchemaCache
    from app.data.sql.statement import PlannedStatement

# Of one project. A shape that came once is remembered, and read and planned for good when it comes again.
SHAPES_MAX = 256
T = TypeVar("T")


@dataclass(frozen=True)
class ShapePlan:
    """What was planned for a shape.

    bound  which parameter is which of a request's values, by its place; -1: the body
    """

    planned: PlannedStatement
    bound: dict[str, int]

    def of(self, literals: tuple[str | tuple[str, ...], ...], payload: Payload | None) -> PlannedStatement:
        """Return the statement with the values of one request."""
        body = payload.text if payload is not None else None
        values = {name: body if place < 0 else _parameter(literals[place]) for name, place in self.bound.items()}
        return replace(self.planned, values={**self.planned.values, **values})


class _Recent(Generic[T]):
    """What was kept last, by its key. Safe to use from many threads."""

    def __init__(self) -> None:
        self._held: dict[Hashable, T] = {}
        self._keeping = threading.Lock()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._held

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: Hashable) -> T | None:
        """Return what was kept."""
        return self._held.get(key)

    def keep(self, key: Hashable, value: T) -> None:
        """Keep a value; what was kept for longest makes room."""
        with self._keeping:
            if len(self._held) >= SHAPES_MAX and key not in self._held:
                del self._held[next(iter(self._held))]
            self._held[key] = value


class _HangsOnValues:
    """Stands for the plan of a shape that is another one with other values."""


HANGS_ON_VALUES = _HangsOnValues()


@dataclass
class _Kept:
    """Plans against one state of the schema."""

    cache: SchemaCache | None = None
    plans: _Recent[ShapePlan | _HangsOnValues] = field(default_factory=_Recent)


class StatementPlans:
    """Reads and plans the requests of one configuration. Safe to use from many threads."""

    def __init__(self, config: DataConfig, read_body: ReadBody) -> None:
        self._config, self._read_body = config, read_body
        self.forget()

    def forget(self) -> None:
        """Keep no shape that has come so far."""
        self._seen: _Recent[bool] = _Recent()
        self._read: _Recent[Request] = _Recent()
        self._kept = _Kept()

    def read(self, raw: RawRequest) -> Request:
        """Understand a request; of one that has a known shape, the query is the shape's. Raises PgrstError."""
        shape = shape_of(raw, called=raw.path.startswith("/rpc/"))
        if shape is None:
            return self._whole(raw)
        known = self._read.get(shape.key)
        if known is None:
            found = self._whole(raw)
            if shape.key not in self._seen:
                self._seen.keep(shape.key, True)
                return found
            known = requests.read(shape.marked(raw), self._config, _no_body)
            self._read.keep(shape.key, known)
            return replace(found, shape=shape)
        payload = None
        if known.payload is not None:
            columns, routine = known.query.columns, known.resource == requests.ROUTINE
            payload = self._read_body(raw.body, known.content, columns, routine=routine)
        return replace(known, raw=raw, payload=payload, shape=shape)

    def plan(self, request: Request, cache: SchemaCache) -> PlannedStatement:
        """Plan a request against the schema cache. Raises PgrstError."""
        shape = request.shape
        if shape is None:
            return statement.plan(request, cache, self._config)
        kept = self._kept
        if kept.cache is not cache:
            kept = self._kept = _Kept(cache)
        body = request.payload
        key = (shape.key, None if body is None else (body.keys, body.is_object, body.text[:1]))
        plan = kept.plans.get(key) or self._planned_for_good(request, cache, kept, key)
        if not isinstance(plan, ShapePlan):
            return statement.plan(self.whole(request), cache, self._config)
        return plan.of(shape.literals, body)

    def whole(self, request: Request) -> Request:
        """Return a request with its own values in its query. Raises PgrstError."""
        return self._whole(request.raw) if request.shape is not None else request

    def _whole(self, raw: RawRequest) -> Request:
        return requests.read(raw, self._config, self._read_body)

    def _planned_for_good(
        self, request: Request, cache: SchemaCache, kept: _Kept, key: Hashable
    ) -> ShapePlan | _HangsOnValues:
        shape = request.shape
        known = self._read.get(shape.key) if shape is not None else None
        if shape is None or known is None:
            # Others have come meanwhile, and this shape has made room: that says nothing of its plan.
            return HANGS_ON_VALUES
        plan = self._planned(request, shape, known, cache) or HANGS_ON_VALUES
        kept.plans.keep(key, plan)
        return plan

    def _planned(self, request: Request, shape: Shape, known: Request, cache: SchemaCache) -> ShapePlan | None:
        """Plan a shape; None where that says nothing for other values, or is refused: a request is told why itself.

        known  the shape as it is read, with its marks
        """
        body = None
        if request.payload is not None and (body := marked_body(request.payload)) is None:
            return None
        try:
            planned = statement.plan(replace(known, payload=body), cache, self._config)
        except PgrstError:
            return None
        bound = _binding(planned.values, shape, body)
        if bound is None or planned.count is not None:
            return None
        constant = {name: value for name, value in planned.values.items() if name not in bound}
        return ShapePlan(replace(planned, text=sql.SQL(planned.text.as_string(None)), values=constant), bound)


def _no_body(raw: bytes, kind: str, columns: tuple[str, ...] | None, *, routine: bool) -> Payload:
    del raw, kind, columns, routine
    return Payload("")


def _parameter(literal: str | tuple[str, ...]) -> str:
    return literal if isinstance(literal, str) else array_literal(literal)


def _binding(values: dict[str, object], shape: Shape, body: Payload | None) -> dict[str, int] | None:
    """Return which parameter is which of a shape's values. None when a mark is not where it can be replaced.

    values  the parameters of what was planned with marks
    body    the one with a mark for its text
    """
    places: dict[object, int] = {}
    for number, literal in enumerate(shape.literals):
        places[mark_of(number) if isinstance(literal, str) else array_literal((mark_of(number),))] = number
    if body is not None:
        places[body.text] = -1
    bound = {name: places[value] for name, value in values.items() if value in places}
    strays = any(has_mark(str(value)) for name, value in values.items() if name not in bound)
    return bound if set(bound.values()) == set(places.values()) and not strays else None

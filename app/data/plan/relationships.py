"""Relationships between relations, told from foreign keys, from views over them and from functions of a row."""

from __future__ import annotations

import itertools
import json
import re
import sys
from dataclasses import dataclass
from typing import Any, TypeAlias

from app.data.names import Name

Pairs: TypeAlias = tuple[tuple[str, str], ...]
_TREE = re.compile(r"\\.|[{}]|:(resno|resorigtbl|resorigcol) (\d+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Relationship:
    """A way from one relation to another. `kind` is m2o, o2m, o2o, m2m or computed."""

    table: Name
    foreign: Name
    kind: str
    constraint: str = ""
    pairs: Pairs = ()
    is_self: bool = False
    foreign_is_view: bool = False
    is_parent: bool = False
    junction: Name | None = None
    junction_constraints: tuple[str, str] = ("", "")
    junction_source: Pairs = ()
    junction_target: Pairs = ()
    function: Name | None = None
    single_row: bool = False

    @property
    def to_one(self) -> bool:
        """Return whether it leads to one row at most."""
        return self.kind in ("m2o", "o2o") or (self.kind == "computed" and self.single_row)


@dataclass(frozen=True, slots=True)
class ViewKey:
    """A key of a table that a view shows whole; each column may be shown more than once."""

    kind: str
    constraint: str
    table: Name
    view: Name
    columns: tuple[tuple[str, tuple[str, ...]], ...]


Dependency: TypeAlias = tuple[Name, int, int, str]


def view_dependencies(rows: list[Any], schemas: tuple[str, ...]) -> list[Dependency]:
    """Return (view, table's oid, column's number, view's column) for columns that are plain columns of a table."""
    direct = {row[0]: _entries(row[3]) for row in rows}
    found = []
    for oid, schema, name, _, columns in rows:
        if schema not in schemas:
            continue
        names = {int(number): text for number, text in json.loads(columns or "{}").items()}
        for number in direct[oid]:
            origin = _origin(direct, oid, number)
            if origin is not None and number in names:
                found.append((Name(schema, name), origin[0], origin[1], names[number]))
    return found


def view_keys(dependencies: list[Dependency], rows: list[Any]) -> list[ViewKey]:
    """Return the keys that views show whole."""
    shown: dict[tuple[Name, int], dict[int, list[str]]] = {}
    for view, oid, number, column in dependencies:
        shown.setdefault((view, oid), {}).setdefault(number, []).append(column)
    keys: dict[int, list[Any]] = {}
    for row in rows:
        keys.setdefault(row[2], []).append(row)
    found = []
    for (view, oid), columns in shown.items():
        for kind, constraint, _, schema, table, members in keys.get(oid, ()):
            read = json.loads(members)
            if all(number in columns for number, _ in read):
                shown_as = tuple((name, tuple(columns[number])) for number, name in read)
                found.append(ViewKey(kind, constraint, Name(schema, table), view, shown_as))
    return found


def relationships(
    foreign_keys: list[list[Any]],
    computed: list[list[Any]],
    keys: list[ViewKey],
    primary: dict[Name, tuple[str, ...]],
    schemas: tuple[str, ...],
) -> dict[Name, tuple[Relationship, ...]]:
    """Return the relationships of every exposed relation."""
    views = {key.view for key in keys}
    known = {name: name for name in primary}
    direct = [_direct(entry, known) for entry in foreign_keys]
    shown: dict[tuple[str, Name, str], list[ViewKey]] = {}
    for key in keys:
        shown.setdefault((key.kind, key.table, key.constraint), []).append(key)
    direct += [through for each in direct for through in _through_views(each, shown)]
    relations = direct + _many_to_many(direct, primary, views)
    relations += [back for each in direct if (back := _inverse(each, views)) is not None]
    named = {(rel.table, rel.function): rel for rel in map(_computed, computed)}
    kept = [rel for rel in relations if (rel.table, rel.foreign) not in named]
    found: dict[Name, list[Relationship]] = {}
    for rel in [*kept, *named.values()]:
        if rel.table.schema in schemas and rel.foreign.schema in schemas:
            # Also where all ways lead through what is not exposed: the relation itself is not what was misspelt.
            ways = found.setdefault(rel.table, [])
            ways += [rel] if rel.junction is None or rel.junction.schema in schemas else []
    for table in _joined_by_hidden(direct, schemas):
        found.setdefault(table, [])
    return {table: tuple(sorted(each, key=_order)) for table, each in found.items()}


def _joined_by_hidden(direct: list[Relationship], schemas: tuple[str, ...]) -> set[Name]:
    """Return the exposed relations that a table joins which is not exposed."""
    ends: dict[Name, list[Name]] = {}
    for rel in direct:
        if rel.table.schema not in schemas:
            ends.setdefault(rel.table, []).append(rel.foreign)
    return {end for each in ends.values() if len(each) > 1 for end in each if end.schema in schemas}


def _order(rel: Relationship) -> tuple[Any, ...]:
    ranks = {"o2m": 0, "m2o": 1, "o2o": 2, "m2m": 3, "computed": 4}
    return (rel.table.name, rel.foreign.name, ranks[rel.kind], rel.constraint, rel.junction_constraints)


def _entries(tree: str) -> dict[int, tuple[int, int]]:
    # A stored query is nested in braces: entries of the outermost target list stand at depth two.
    depth = 0
    current: dict[str, int] = {}
    found: dict[int, tuple[int, int]] = {}
    for token in _TREE.finditer(tree):
        text = token[0]
        if text == "{":
            depth += 1
        elif text == "}":
            if depth == 2 and len(current) == 3 and current["resorigtbl"]:
                found[current["resno"]] = (current["resorigtbl"], current["resorigcol"])
            current = {} if depth == 2 else current
            depth -= 1
        elif depth == 2 and token[1]:
            current[token[1]] = int(token[2])
    return found


def _origin(direct: dict[int, dict[int, tuple[int, int]]], oid: int, number: int) -> tuple[int, int] | None:
    seen = set()
    while oid in direct:
        if (oid, number) in seen or number not in direct[oid]:
            return None
        seen.add((oid, number))
        oid, number = direct[oid][number]
    return oid, number


def _direct(entry: list[Any], known: dict[Name, Name]) -> Relationship:
    schema, table, foreign_schema, foreign, is_self, constraint, pairs, one_to_one = entry
    near, far = Name(schema, table), Name(foreign_schema, foreign)
    return Relationship(
        known.setdefault(near, near),
        known.setdefault(far, far),
        "o2o" if one_to_one else "m2o",
        constraint,
        tuple((sys.intern(own), sys.intern(other)) for own, other in pairs),
        is_self,
    )


def _through_views(rel: Relationship, shown: dict[tuple[str, Name, str], list[ViewKey]]) -> list[Relationship]:
    near = shown.get(("f", rel.table, rel.constraint), ())
    far = shown.get(("f_ref", rel.foreign, rel.constraint), ())
    near_sides = [(k.view, columns) for k in near for columns in _choices(k)]
    far_sides = [(k.view, columns) for k in far for columns in _choices(k)]
    own, other = tuple(a for a, _ in rel.pairs), tuple(b for _, b in rel.pairs)
    sides = [(view, columns, rel.foreign, other, False) for view, columns in near_sides]
    sides += [(rel.table, own, view, columns, True) for view, columns in far_sides]
    sides += [(v1, c1, v2, c2, True) for v1, c1 in near_sides for v2, c2 in far_sides]
    return [
        Relationship(
            table, foreign, rel.kind, rel.constraint, tuple(zip(mine, theirs, strict=True)), table == foreign, is_view
        )
        for table, mine, foreign, theirs, is_view in sides
    ]


def _choices(key: ViewKey) -> list[tuple[str, ...]]:
    return list(itertools.product(*(columns for _, columns in key.columns)))


def _many_to_many(
    rels: list[Relationship], primary: dict[Name, tuple[str, ...]], views: set[Name]
) -> list[Relationship]:
    by_table: dict[Name, list[Relationship]] = {}
    for rel in rels:
        if rel.kind == "m2o":
            by_table.setdefault(rel.table, []).append(rel)
    found = []
    for junction, each in by_table.items():
        key = set(primary.get(junction, ()))
        for one, two in itertools.permutations(each, 2):
            columns = {a for a, _ in one.pairs} | {a for a, _ in two.pairs}
            if one.constraint == two.constraint or not columns <= key:
                continue
            found.append(
                Relationship(
                    one.foreign,
                    two.foreign,
                    "m2m",
                    is_self=one.foreign == two.foreign,
                    foreign_is_view=two.foreign in views,
                    junction=junction,
                    junction_constraints=(one.constraint, two.constraint),
                    junction_source=_swapped(one.pairs),
                    junction_target=_swapped(two.pairs),
                )
            )
    return found


def _inverse(rel: Relationship, views: set[Name]) -> Relationship | None:
    return Relationship(
        rel.foreign,
        rel.table,
        "o2m" if rel.kind == "m2o" else "o2o",
        rel.constraint,
        _swapped(rel.pairs),
        rel.is_self,
        rel.table in views,
        is_parent=rel.kind == "o2o",
    )


def _computed(entry: list[Any]) -> Relationship:
    schema, function, table_schema, table, foreign_schema, foreign, single = entry
    own, far = Name(table_schema, table), Name(foreign_schema, foreign)
    return Relationship(own, far, "computed", is_self=own == far, function=Name(schema, function), single_row=single)


def _swapped(pairs: Pairs) -> Pairs:
    return tuple((b, a) for a, b in pairs)

"""Requests that write: rows inserted, merged, changed and deleted, with the SQL that a person would write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from psycopg import sql

from tests.app.data.model import terms
from tests.app.data.model.reads import BASE, Asked, alone, selection
from tests.app.data.model.world import BOOL, HOSTILE, INT, JSONB, NUM, RELATIONS, TAGS, TEXT

if TYPE_CHECKING:
    import random

    from tests.app.data.model.world import Relation

ABSENT = object()
NUMBERS = (1, 2, 3, 50, 60, 70, 10**6, 2**31, -1, 1.5)
JSON_VALUES = ({"a": [1, None]}, [], "text", 5, True, {"k": {"n": "ä"}}, [[]], 1.5)


def value_of(chance: random.Random, kind: str) -> Any:
    """Return a value of JSON for a column: mostly one of its type, as JSON or as Postgres writes it."""
    if chance.random() < 0.1:
        return None
    typed: dict[str, tuple[float, Any]] = {
        JSONB: (0.7, chance.choice(JSON_VALUES)),
        TAGS: (0.5, [chance.choice([*HOSTILE, None]) for _ in range(chance.randrange(3))]),
        INT: (0.7, chance.choice(NUMBERS)),
        NUM: (0.7, chance.choice(NUMBERS)),
        BOOL: (0.7, chance.random() < 0.5),
        TEXT: (0.1, chance.choice([1, True, {"a": 1}, [1, "b"]])),
    }
    share, value = typed.get(kind, (0.0, None))
    if chance.random() < share:
        return value
    return chance.choice(HOSTILE) if kind == JSONB else terms.value_of(chance, kind)


def literal(value: Any, kind: str) -> sql.Composable:
    """Return a value of JSON as a person writes it in SQL for a column of this type."""
    if value is ABSENT:
        return sql.SQL("DEFAULT")
    if value is None:
        return sql.SQL("NULL")
    text = value if isinstance(value, str) and kind != JSONB else json.dumps(value)
    if kind == TAGS and isinstance(value, list):
        text = "{" + ",".join("NULL" if each is None else terms.quoted(each) for each in value) + "}"
    # Read as its type when a row is written, and not before.
    return sql.SQL("CAST((SELECT {}::text) AS {})").format(sql.Literal(text), sql.SQL(kind))


def values_alone(relation: Relation, rows: list[dict[str, Any]]) -> list[sql.Composable]:
    """Return statements that each read one of the values."""
    return [
        sql.SQL("SELECT {}").format(literal(value, relation.columns[name]))
        for row in rows
        for name, value in row.items()
    ]


def write(chance: random.Random) -> Asked:
    """Return a request that writes to a relation."""
    relation = RELATIONS[chance.choice([name for name, each in RELATIONS.items() if each.writable])]
    return chance.choice([inserted, inserted, inserted, changed, changed, deleted])(chance, relation)


def _answered(
    chance: random.Random, relation: Relation, asked: Asked, done: sql.Composable, prefer: list[str]
) -> Asked:
    """Ask for the rows that were written, or only that they be counted."""
    returned = (
        "WITH written AS ({} RETURNING *) "
        "SELECT coalesce(json_agg(row_to_json(r)), '[]')::text FROM (SELECT {} FROM written AS {}) r"
    )
    if chance.random() < 0.75:
        chosen = selection(chance, relation, inner=False)
        asked.params.append(("select", ",".join(chosen.items)))
        asked.params.extend(chosen.params)
        asked.unordered, asked.decided = chosen.unordered, chosen.embeds
        asked.parts += [*alone(relation, chosen.outputs, []), *chosen.apart]
        outputs, prefer = sql.SQL(", ").join(chosen.outputs), [*prefer, "return=representation"]
    else:
        outputs, asked.silent = sql.SQL("1 AS one"), True
        prefer = [*prefer, chance.choice(["return=minimal", "return=headers-only"])]
    if chance.random() < 0.3:
        prefer, asked.counted = [*prefer, "count=exact"], True
    asked.rows = sql.SQL(returned).format(done, outputs, sql.Identifier(BASE))
    asked.headers["prefer"] = ", ".join(prefer)
    return asked


def _columns(chance: random.Random, relation: Relation, *, with_key: bool) -> list[str]:
    names = [name for name in relation.columns if name not in relation.generated and name != "id"]
    chosen = chance.sample(names, chance.randrange(0 if with_key else 1, len(names) + 1))
    if "slug" in chosen and chance.random() < 0.5:
        chosen.remove("slug")
    return ["id", *chosen] if with_key else chosen or names[:1]


def inserted(chance: random.Random, relation: Relation) -> Asked:
    """Return a request that inserts rows, or merges them with those that are there."""
    columns, merges = _columns(chance, relation, with_key=True), chance.choice(["", "", "merge", "ignore"])
    keys = [1, 2, 3, *range(20, 30)] if merges or chance.random() < 0.1 else range(20, 60)
    rows = []
    for _ in range(chance.choice([1, 1, 2, 3])):
        row = {name: value_of(chance, relation.columns[name]) for name in columns}
        row["id"] = chance.choice(list(keys)) if chance.random() < 0.95 else value_of(chance, INT)
        rows.append(row)
    params, prefer, fills = [], [], False
    if chance.random() < 0.3 and len(columns) > 1:
        params.append(("columns", ",".join(columns)))
        fills = chance.random() < 0.5
        prefer += ["missing=default"] if fills else []
        for row in rows:
            if chance.random() < 0.5:
                row.pop(chance.choice(columns[1:]))
    missing = ABSENT if fills else None
    values = [
        sql.SQL("({})").format(
            sql.SQL(", ").join(literal(row.get(name, missing), relation.columns[name]) for name in columns)
        )
        for row in rows
    ]
    into = sql.SQL("INSERT INTO public.{} ({}) VALUES ").format(
        sql.Identifier(relation.name), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    done = into + sql.SQL(", ").join(values)
    if merges:
        prefer.append("resolution=merge-duplicates" if merges == "merge" else "resolution=ignore-duplicates")
        key = relation.unique if chance.random() < 0.3 and relation.unique in columns else "id"
        if key != "id" or chance.random() < 0.3:
            params.append(("on_conflict", key))
        act = sql.SQL("NOTHING")
        if merges == "merge":
            act = sql.SQL("UPDATE SET ") + sql.SQL(", ").join(
                sql.SQL("{} = EXCLUDED.{}").format(sql.Identifier(name), sql.Identifier(name)) for name in columns
            )
        done += sql.SQL(" ON CONFLICT ({}) DO {}").format(sql.Identifier(key), act)
    body = rows[0] if len(rows) == 1 and chance.random() < 0.6 else rows
    asked = Asked(
        "POST",
        f"/{relation.name}",
        params,
        done,
        done,
        body=body,
        parts=[*values_alone(relation, rows), *(into + each for each in values)],
    )
    return _answered(chance, relation, asked, done, prefer)


def changed(chance: random.Random, relation: Relation) -> Asked:
    """Return a request that changes rows."""
    given, said = terms.conditions(chance, relation, BASE)
    body = {name: value_of(chance, relation.columns[name]) for name in _columns(chance, relation, with_key=False)}
    done = sql.SQL("UPDATE public.{} AS {} SET {}{}").format(
        sql.Identifier(relation.name),
        sql.Identifier(BASE),
        sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), literal(value, relation.columns[name]))
            for name, value in body.items()
        ),
        terms.where(said),
    )
    asked = Asked(
        "PATCH",
        f"/{relation.name}",
        given,
        done,
        done,
        body=body,
        parts=[*alone(relation, [], said), *values_alone(relation, [body])],
    )
    return _answered(chance, relation, asked, done, [])


def deleted(chance: random.Random, relation: Relation) -> Asked:
    """Return a request that deletes rows."""
    given, said = terms.conditions(chance, relation, BASE)
    done = sql.SQL("DELETE FROM public.{} AS {}{}").format(
        sql.Identifier(relation.name), sql.Identifier(BASE), terms.where(said)
    )
    asked = Asked("DELETE", f"/{relation.name}", given, done, done, parts=alone(relation, [], said))
    return _answered(chance, relation, asked, done, [])

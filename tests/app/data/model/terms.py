"""Conditions as they stand in a URL, each with the SQL that a person would write for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from psycopg import sql

from tests.app.data.model.world import (
    BOOL,
    DATE,
    HOSTILE,
    INT,
    JSONB,
    MOMENT,
    NUM,
    RANGE,
    SAMPLES,
    STATE,
    TAGS,
    TEXT,
    WORDS,
)

if TYPE_CHECKING:
    import random

    from tests.app.data.model.world import Relation

COMPARED = {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
PATTERNS = {"like": "LIKE", "ilike": "ILIKE", "match": "~", "imatch": "~*"}
CONTAINS = {"cs": "@>", "cd": "<@", "ov": "&&"}
RANGES = {"sl": "<<", "sr": ">>", "nxr": "&<", "nxl": "&>", "adj": "-|-"}
SEARCHES = {
    "fts": "to_tsquery",
    "plfts": "plainto_tsquery",
    "phfts": "phraseto_tsquery",
    "wfts": "websearch_to_tsquery",
}
IS = {"null": "NULL", "true": "TRUE", "false": "FALSE", "unknown": "UNKNOWN", "not_null": "NOT NULL"}
ORDERED = (INT, NUM, TEXT, DATE, MOMENT, STATE)
BY_TYPE = {
    **dict.fromkeys(ORDERED, ("eq", "neq", "gt", "gte", "lt", "lte", "in", "is", "isdistinct", "any")),
    TEXT: ("eq", "neq", "gt", "lte", "in", "is", "isdistinct", "any", "like", "ilike", "match", "imatch", "like", "words"),
    BOOL: ("eq", "neq", "is", "is", "isdistinct", "in"), TAGS: ("eq", "cs", "cd", "ov", "is", "isdistinct"),
    JSONB: ("eq", "cs", "cd", "is", "neq", "in"), RANGE: ("eq", "cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj", "is"),
    WORDS: ("fts", "plfts", "phfts", "wfts", "is"),
}  # fmt: skip
PATHS = (
    (("k",), False),
    (("k",), True),
    (("k", "n"), True),
    (("l", "0"), False),
    (("l", "-1"), True),
    (("nothing",), True),
)


class Field(NamedTuple):
    """A column or a path into one: as it stands in a URL, as SQL, and its type."""

    url: str
    sql: sql.Composable
    kind: str


class Condition(NamedTuple):
    """A condition: its field, what follows it in a query's value, the same within a logic tree, and its SQL."""

    url: str
    value: str
    within: str
    sql: sql.Composable


def column(table: str, name: str) -> sql.Composable:
    """Return a column, qualified by its relation's alias."""
    return sql.SQL("{}.{}").format(sql.Identifier(table), sql.Identifier(name))


def path(table: str, name: str, keys: tuple[str, ...], *, as_text: bool) -> Field:
    """Return a path into a column of JSON."""
    steps = [sql.SQL(key) if key.lstrip("-").isdigit() else sql.Literal(key) for key in keys]
    arrows = [*["->"] * (len(keys) - 1), "->>" if as_text else "->"]
    parts = [sql.SQL(arrow) + step for arrow, step in zip(arrows, steps, strict=True)]
    url = name + "".join(arrow + key for arrow, key in zip(arrows, keys, strict=True))
    return Field(url, sql.SQL("({}{})").format(column(table, name), sql.Composed(parts)), TEXT if as_text else JSONB)


def any_field(chance: random.Random, relation: Relation, table: str) -> Field:
    """Return a column, now and then a path into one, seldom one that there is not."""
    if chance.random() < 0.015:
        return Field("nothing", column(table, "nothing"), TEXT)
    name = chance.choice(list(relation.columns))
    if relation.columns[name] == JSONB and chance.random() < 0.7:
        keys, as_text = chance.choice(PATHS)
        return path(table, name, keys, as_text=as_text)
    return Field(name, column(table, name), relation.columns[name])


def value_of(chance: random.Random, kind: str) -> str:
    """Return a value: mostly one of the type, or one that does harm where it is not taken as a value."""
    return chance.choice(SAMPLES[kind]) if chance.random() < 0.7 else chance.choice(HOSTILE)


def quoted(text: str) -> str:
    """Return a value in the quotes that lists and logic trees have."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def array_of(values: list[str]) -> str:
    """Return an array as Postgres writes it."""
    return "{" + ",".join(quoted(value) for value in values) + "}"


def condition(chance: random.Random, relation: Relation, table: str) -> Condition:
    """Return a condition on a relation's field."""
    field = any_field(chance, relation, table)
    word = chance.choice(BY_TYPE[field.kind])
    no = chance.random() < 0.25
    made = _written(chance, field, word)
    if no:
        negated = sql.SQL("NOT ({})").format(made.sql)
        return Condition(made.url, f"not.{made.value}", f"not.{made.within}", negated)
    return made


def _written(chance: random.Random, field: Field, word: str) -> Condition:
    if word == "is":
        value = chance.choice(list(IS) if field.kind == BOOL else ["null", "not_null"])
        said = sql.SQL("{} IS {}").format(field.sql, sql.SQL(IS[value]))
        return Condition(field.url, f"is.{value}", f"is.{value}", said)
    if word == "in":
        values = [value_of(chance, field.kind) for _ in range(chance.randrange(1, 4))]
        listed = f"in.({','.join(quoted(value) for value in values)})"
        said = sql.SQL("{} IN ({})").format(field.sql, sql.SQL(", ").join(map(sql.Literal, values)))
        if values == [""]:
            # PostgREST reads a list of nothing but an empty value as an empty list.
            said = sql.SQL("{} = ANY ('{{}}')").format(field.sql)
        return Condition(field.url, listed, listed, said)
    if word == "any":
        return _quantified(chance, field)
    value = value_of(chance, field.kind)
    if word in SEARCHES or word == "words":
        return _search(chance, field, word, value)
    symbol, text = _operator(word), value.replace("*", "%") if word in ("like", "ilike") else value
    said = sql.SQL("{} {} {}").format(field.sql, sql.SQL(symbol), sql.Literal(text))
    return Condition(field.url, f"{word}.{value}", f"{word}.{quoted(value)}", said)


def _operator(word: str) -> str:
    return (COMPARED | PATTERNS | CONTAINS | RANGES | {"isdistinct": "IS DISTINCT FROM"})[word]


def _quantified(chance: random.Random, field: Field) -> Condition:
    words = ["eq", "gt", "gte", "lt", "lte", *(PATTERNS if field.kind == TEXT else ())]
    word, quantifier = chance.choice(words), chance.choice(["any", "all"])
    values = array_of([value_of(chance, field.kind) for _ in range(chance.randrange(3))])
    text = values.replace("*", "%") if word in ("like", "ilike") else values
    said = sql.SQL("{} {} {} ({})").format(
        field.sql, sql.SQL(_operator(word)), sql.SQL(quantifier.upper()), sql.Literal(text)
    )
    return Condition(field.url, f"{word}({quantifier}).{values}", f"{word}({quantifier}).{quoted(values)}", said)


def _search(chance: random.Random, field: Field, word: str, value: str) -> Condition:
    found = field.sql
    word = chance.choice(list(SEARCHES)) if word == "words" else word
    language = chance.choice(["", "", "english", "simple", "german"])
    first = sql.SQL("{}, ").format(sql.Literal(language)) if language else sql.SQL("")
    if field.kind == TEXT:
        found = sql.SQL("to_tsvector({}{})").format(first, found)
    said = sql.SQL("{} @@ {}({}{})").format(found, sql.SQL(SEARCHES[word]), first, sql.Literal(value))
    name = f"{word}({language})" if language else word
    return Condition(field.url, f"{name}.{value}", f"{name}.{quoted(value)}", said)


def tree(chance: random.Random, relation: Relation, table: str, depth: int = 2) -> tuple[str, str, sql.Composable]:
    """Return a logic tree: its word, its list of conditions in brackets, and its SQL."""
    word, no = chance.choice(["and", "or"]), chance.random() < 0.3
    parts, said = [], []
    for _ in range(chance.randrange(1, 4)):
        if depth and chance.random() < 0.3:
            inner, listed, condition_sql = tree(chance, relation, table, depth - 1)
            parts.append(f"{inner}{listed}")
            said.append(condition_sql)
        else:
            made = condition(chance, relation, table)
            parts.append(f"{made.url}.{made.within}")
            said.append(sql.SQL("({})").format(made.sql))
    joined = sql.SQL(f" {word.upper()} ").join(said)
    whole = sql.SQL("NOT ({})" if no else "({})").format(joined)
    return f"not.{word}" if no else word, f"({','.join(parts)})", whole


def conditions(
    chance: random.Random, relation: Relation, table: str, most: int = 3
) -> tuple[list[tuple[str, str]], list[sql.Composable]]:
    """Return parameters of a query that filter a relation, and their SQL."""
    given, said = [], []
    for _ in range(chance.randrange(most + 1)):
        if chance.random() < 0.2:
            word, listed, condition_sql = tree(chance, relation, table)
            given.append((word, listed))
        else:
            made = condition(chance, relation, table)
            given.append((made.url, made.value))
            condition_sql = made.sql
        said.append(condition_sql)
    return given, said


def where(said: list[sql.Composable]) -> sql.Composable:
    """Return the WHERE of conditions that all hold."""
    return (
        sql.SQL(" WHERE ") + sql.SQL(" AND ").join([sql.SQL("({})").format(each) for each in said])
        if said
        else sql.SQL("")
    )

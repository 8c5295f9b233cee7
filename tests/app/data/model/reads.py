"""Requests that read: what is selected, embedded, filtered, ordered and counted, with the SQL that a person would write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from psycopg import sql

from tests.app.data.model import terms
from tests.app.data.model.world import INT, NUM, RELATIONS

if TYPE_CHECKING:
    import random

    from tests.app.data.model.world import Embedded, Relation

CASTS = ("text", "text", "varchar", "numeric", "int", "jsonb", "date")
AGGREGATES = ("sum", "avg", "min", "max", "count")
BASE = "t"


@dataclass
class Asked:
    """A request, and what a person would ask Postgres instead.

    rows: the rows of the answer, of a write as one text of JSON; everything: what of a read is counted. Where it has a
    limit or an offset that is done as PostgREST does it: without any, those of embedded relations included.
    decided: something is embedded, and may be read for rows that there are not in the end.
    parts: what may be wrong with it, one by one: of several faults it is nobody's which is found first.
    unordered: arrays whose order is nobody's. silent: no rows are sent back.
    """

    method: str
    path: str
    params: list[tuple[str, str]]
    rows: sql.Composable
    everything: sql.Composable
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    offset: int = 0
    limit: int | None = None
    counted: bool = False
    single: bool = False
    ordered: bool = False
    unordered: set[str] = field(default_factory=set)
    silent: bool = False
    decided: bool = False
    parts: list[sql.Composable] = field(default_factory=list)

    @property
    def query(self) -> str:
        """Return the query of its URL."""
        return "&".join(f"{quote(name)}={quote(value)}" for name, value in self.params)


class Selection(NamedTuple):
    """What is selected: items of `select`, output columns as SQL, parameters and conditions of what is embedded."""

    items: list[str]
    outputs: list[sql.Composable]
    params: list[tuple[str, str]]
    said: list[sql.Composable]
    unordered: set[str]
    counted: list[sql.Composable]
    apart: list[sql.Composable]

    @property
    def embeds(self) -> bool:
        """Return whether other relations are embedded."""
        return any("(" in item for item in self.items)


def outputs_of(chance: random.Random, relation: Relation, table: str) -> tuple[list[str], list[sql.Composable]]:
    """Return a few fields as they stand in `select`, and as SQL."""
    if chance.random() < 0.25:
        return ["*"], [sql.SQL("{}.*").format(sql.Identifier(table))]
    items, outputs, names = [], [], set()
    for number in range(chance.randrange(1, 4)):
        each = terms.any_field(chance, relation, table)
        alias = f"f{number}" if each.url not in relation.columns or chance.random() < 0.4 else ""
        cast = chance.choice(CASTS) if chance.random() < 0.25 else ""
        if not alias and each.url in names:
            continue
        names.add(each.url)
        items.append((f"{alias}:" if alias else "") + each.url + (f"::{cast}" if cast else ""))
        value = sql.SQL("CAST({} AS {})").format(each.sql, sql.SQL(cast)) if cast else each.sql
        outputs.append(sql.SQL("{} AS {}").format(value, sql.Identifier(alias or each.url)))
    return items, outputs


def selection(chance: random.Random, relation: Relation, *, inner: bool = True) -> Selection:
    """Return what is selected of a relation: fields, and now and then others embedded.

    inner: what is embedded may also decide which rows there are, and have a window; of a write it does neither.
    """
    items, outputs = outputs_of(chance, relation, BASE)
    found = Selection(items, outputs, [], [], set(), [], [])
    for number, each in enumerate(
        chance.sample(relation.embeds, min(chance.choice([0, 0, 1, 1, 2]), len(relation.embeds)))
    ):
        _embed(chance, relation, each, number, found, inner=inner)
    return found


def _embed(
    chance: random.Random, relation: Relation, each: Embedded, number: int, found: Selection, *, inner: bool
) -> None:
    far, alias = RELATIONS[each.table], f"e{number}" if chance.random() < 0.4 else ""
    key, table = alias or each.table, f"far{number}"
    items, outputs = outputs_of(chance, far, table)
    given, said = terms.conditions(chance, far, table, 1 if chance.random() < 0.6 else 0)
    joined = each.condition.format(near=BASE, far=table)
    params = [(f"{key}.{name}", value) for name, value in given]
    window, ordered = sql.SQL(""), False
    if inner and not each.one and chance.random() < 0.5:
        more, window, _, _ = _window(chance, far, table)
        params += [(f"{key}.{name}", value) for name, value in more]
        ordered = True
    whole = sql.SQL("SELECT {} FROM public.{} AS {}{}").format(
        sql.SQL(", ").join(outputs), sql.Identifier(far.name), sql.Identifier(table),
        terms.where([sql.SQL(joined), *said]),
    )  # fmt: skip
    rows = whole + window
    must, asked = inner and chance.random() < 0.3, chance.random()
    found.items.append(
        (f"{alias}:" if alias else "") + each.table + ("!inner" if must else "") + f"({','.join(items)})"
    )
    one = (
        "(SELECT row_to_json(r) FROM ({}) r)"
        if each.one
        else "coalesce((SELECT json_agg(row_to_json(r)) FROM ({}) r), '[]')"
    )
    found.outputs.append(sql.SQL("{} AS {}").format(sql.SQL(one).format(rows), sql.Identifier(key)))
    found.params.extend(params)
    # What is computed of a row may be computed of one that is not among those joined.
    found.apart.extend(
        sql.SQL("SELECT {} FROM public.{} AS {}").format(each, sql.Identifier(far.name), sql.Identifier(table))
        for each in outputs
    )
    if must:
        found.said.append(sql.SQL("EXISTS ({})").format(rows))
        found.counted.append(sql.SQL("EXISTS ({})").format(whole))
    elif inner and asked < 0.2:
        there = asked < 0.1
        found.params.append((key, "not.is.null" if there else "is.null"))
        found.said.append(sql.SQL("EXISTS ({})" if there else "NOT EXISTS ({})").format(rows))
        found.counted.append(sql.SQL("EXISTS ({})" if there else "NOT EXISTS ({})").format(whole))
    if not each.one and not ordered:
        found.unordered.add(key)


def _window(
    chance: random.Random, relation: Relation, table: str
) -> tuple[list[tuple[str, str]], sql.Composable, int, int | None]:
    """Return an order that leaves nothing open, perhaps with limit and offset: as parameters and as SQL."""
    words, said = [], []
    for _ in range(chance.randrange(3)):
        each = terms.any_field(chance, relation, table)
        way, nulls = chance.choice(["", "asc", "desc"]), chance.choice(["", "", "nullsfirst", "nullslast"])
        words.append(".".join(part for part in (each.url, way, nulls) if part))
        said.append(sql.SQL("{} {}{}").format(each.sql, sql.SQL(way), sql.SQL(f" NULLS {nulls[5:]}" if nulls else "")))
    key = next(iter(relation.columns))
    words.append(key)
    said.append(terms.column(table, key))
    params, text = [("order", ",".join(words))], sql.SQL(" ORDER BY ") + sql.SQL(", ").join(said)
    limit, offset = chance.choice([None, 0, 1, 2, 3, 5, 100]), chance.choice([0, 0, 0, 1, 2, 4, 20])
    if limit is not None:
        params.append(("limit", str(limit)))
        text += sql.SQL(f" LIMIT {limit}")
    if offset:
        params.append(("offset", str(offset)))
        text += sql.SQL(f" OFFSET {offset}")
    return params, text, offset, limit


def alone(relation: Relation, outputs: list[sql.Composable], said: list[sql.Composable]) -> list[sql.Composable]:
    """Return statements that each have one of these outputs or conditions."""
    rows = sql.SQL("SELECT {} FROM public.{} AS {}{}")
    names = sql.Identifier(relation.name), sql.Identifier(BASE)
    return [
        *(rows.format(each, *names, sql.SQL("")) for each in outputs),
        *(rows.format(sql.SQL("1"), *names, terms.where([each])) for each in said),
    ]


def read(chance: random.Random) -> Asked:
    """Return a request for rows of a relation."""
    relation = RELATIONS[chance.choice(list(RELATIONS))]
    if chance.random() < 0.12:
        return aggregated(chance, relation)
    chosen = selection(chance, relation)
    given, said = terms.conditions(chance, relation, BASE)
    window = _window(chance, relation, BASE) if chance.random() < 0.6 else None
    rows, everything = (
        sql.SQL("SELECT {} FROM public.{} AS {}{}").format(
            outputs, sql.Identifier(relation.name), sql.Identifier(BASE), terms.where([*said, *decisive])
        )
        for outputs, decisive in ((sql.SQL(", ").join(chosen.outputs), chosen.said), (sql.SQL("1"), chosen.counted))
    )
    params = [("select", ",".join(chosen.items)), *given, *chosen.params, *(window[0] if window else [])]
    method = "HEAD" if chance.random() < 0.05 else "GET"
    made = Asked(method, f"/{relation.name}", params, rows, rows, unordered=chosen.unordered, decided=chosen.embeds)
    if window and (window[2] or window[3] is not None):
        made.everything = everything
    if window:
        made.rows, made.offset, made.limit, made.ordered = rows + window[1], window[2], window[3], True
    made.parts = [*alone(relation, chosen.outputs, [*said, *chosen.said]), *chosen.apart, made.rows]
    if chance.random() < 0.4:
        made.headers["prefer"], made.counted = "count=exact", True
    if chance.random() < 0.08:
        made.headers["accept"], made.single = "application/vnd.pgrst.object+json", True
    return made


def aggregated(chance: random.Random, relation: Relation) -> Asked:
    """Return a request for sums and the like of a relation's rows."""
    grouped = chance.sample(list(relation.columns), chance.randrange(3))
    items = [*grouped]
    outputs = [terms.column(BASE, name) for name in grouped]
    for number in range(chance.randrange(1, 3)):
        name = chance.choice(list(relation.columns))
        word = chance.choice(AGGREGATES if relation.columns[name] in (INT, NUM) else ("count", "max", "min"))
        cast = "::text" if chance.random() < 0.2 else ""
        value = sql.SQL("CAST({}({}) AS text)" if cast else "{}({})").format(sql.SQL(word), terms.column(BASE, name))
        if word == "count" and chance.random() < 0.5:
            items.append(f"a{number}:count(){cast}")
            value = sql.SQL("CAST(count(*) AS text)" if cast else "count(*)")
        else:
            items.append(f"a{number}:{name}.{word}(){cast}")
        outputs.append(sql.SQL("{} AS {}").format(value, sql.Identifier(f"a{number}")))
    given, said = terms.conditions(chance, relation, BASE)
    group = sql.SQL(" GROUP BY {}").format(sql.SQL(", ").join(outputs[: len(grouped)])) if grouped else sql.SQL("")
    rows = sql.SQL("SELECT {} FROM public.{} AS {}{}{}").format(
        sql.SQL(", ").join(outputs), sql.Identifier(relation.name), sql.Identifier(BASE), terms.where(said), group
    )
    params = [("select", ",".join(items)), *given]
    return Asked("GET", f"/{relation.name}", params, rows, rows, parts=alone(relation, [], said))

"""Finds the one relationship that an embedded relation of a select list means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.data.errors import PgrstError
from app.data.names import Name
from app.data.plan.similar import LISTS_SCORE, most_similar

if TYPE_CHECKING:
    from app.data.plan.relationships import Relationship
    from app.data.plan.schema import SchemaCache


def find_relationship(schema: str, origin: str, target: str, hint: str | None, cache: SchemaCache) -> Relationship:
    """Return the relationship from `origin` to `target`. Raises PgrstError: none (PGRST200), several (PGRST201)."""
    candidates = cache.relationships.get(Name(schema, origin), ())
    found = [rel for rel in candidates if rel.foreign.schema == schema or rel.kind == "computed"]
    found = [rel for rel in found if _fits(rel, target, hint)]
    if not found:
        raise _none(schema, origin, target, hint, cache)
    if len(found) > 1:
        raise _several(origin, target, found)
    return found[0]


def _fits(rel: Relationship, target: str, hint: str | None) -> bool:
    if rel.function is not None:
        return target == rel.function.name
    if rel.is_self:
        return _fits_self(rel, target, hint)
    named = target == rel.foreign.name
    if hint is None:
        by_key = (_is_constraint(rel, target) or _is_column(rel, target)) and not rel.foreign_is_view
        return named or by_key
    junction = rel.junction is not None and hint == rel.junction.name
    return named and (_is_constraint(rel, hint) or _is_column(rel, hint) or _is_far_column(rel, hint) or junction)


def _fits_self(rel: Relationship, target: str, hint: str | None) -> bool:
    # One key gives two ways: the table's name means the many, the column's name means the one.
    if hint is not None:
        return target == rel.foreign.name and rel.kind == "o2m" and _is_far_column(rel, hint)
    return (target == rel.foreign.name and rel.kind == "o2m") or (_is_column(rel, target) and rel.kind == "m2o")


def _is_constraint(rel: Relationship, name: str) -> bool:
    return rel.kind in ("m2o", "o2m", "o2o") and rel.constraint == name


def _is_column(rel: Relationship, name: str) -> bool:
    return len(rel.pairs) == 1 and rel.pairs[0][0] == name


def _is_far_column(rel: Relationship, name: str) -> bool:
    return len(rel.pairs) == 1 and rel.pairs[0][1] == name


def _none(schema: str, origin: str, target: str, hint: str | None, cache: SchemaCache) -> PgrstError:
    hinted = f"' using the hint '{hint}" if hint is not None else ""
    return PgrstError(
        "PGRST200",
        f"Could not find a relationship between '{origin}' and '{target}' in the schema cache",
        f"Searched for a foreign key relationship between '{origin}' and '{target}{hinted}' in the schema '{schema}',"
        " but no matches were found.",
        _suggestion(schema, origin, target, cache),
    )


def _suggestion(schema: str, origin: str, target: str, cache: SchemaCache) -> str | None:
    ways = cache.relationships.get(Name(schema, origin))
    if ways is None:
        parents = cache.similar("parents", schema, lambda: _parents(schema, cache))
        wrong, close = origin, parents.most_similar(origin, LISTS_SCORE)
    else:
        wrong, close = target, most_similar(target, [rel.foreign.name for rel in ways], LISTS_SCORE)
    same = close is not None and close.lower() == wrong.lower()
    return f"Perhaps you meant '{close}' instead of '{wrong}'." if close and not same else None


def _parents(schema: str, cache: SchemaCache) -> list[str]:
    return [name.name for name in cache.relationships if name.schema == schema]


def _several(origin: str, target: str, found: list[Relationship]) -> PgrstError:
    hints = ", ".join(f"'{target}!{_hint(rel)}'" for rel in found if rel.kind != "computed")
    return PgrstError(
        "PGRST201",
        f"Could not embed because more than one relationship was found for '{origin}' and '{target}'",
        [_described(rel) for rel in found if rel.kind != "computed"],
        f"Try changing '{target}' to one of the following: {hints}. "
        "Find the desired relationship in the 'details' key.",
    )


def _hint(rel: Relationship) -> str:
    return rel.junction.name if rel.junction is not None else rel.constraint


def _described(rel: Relationship) -> dict[str, Any]:
    words = {"m2o": "many-to-one", "o2m": "one-to-many", "o2o": "one-to-one", "m2m": "many-to-many"}
    if rel.junction is not None:
        one, two = rel.junction_constraints
        near = ", ".join(far for _, far in rel.junction_source)
        far = ", ".join(far for _, far in rel.junction_target)
        how = f"{rel.junction.name} using {one}({near}) and {two}({far})"
    else:
        own, far = ", ".join(a for a, _ in rel.pairs), ", ".join(b for _, b in rel.pairs)
        how = f"{rel.constraint} using {rel.table.name}({own}) and {rel.foreign.name}({far})"
    return {
        "cardinality": words[rel.kind],
        "relationship": how,
        "embedding": f"{rel.table.name} with {rel.foreign.name}",
    }

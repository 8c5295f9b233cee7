"""Reads filters, logic trees and orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.data.parse import fields
from app.data.parse.reader import Reader
from app.data.parse.terms import Condition, Field, Filter, Logic, Operation, OrderTerm

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.data.parse.terms import Path

QUANTIFIED = frozenset({"eq", "gte", "gt", "lte", "lt", "like", "ilike", "match", "imatch"})
PLAIN = frozenset({"neq", "cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj", "isdistinct"})
SEARCHES = frozenset({"fts", "plfts", "phfts", "wfts"})
STATES = ("not_null", "null", "true", "false", "unknown")
OPERATOR = "operator (eq, gt, ...)"


def read_filter_target(key: str) -> tuple[Path, Field]:
    """Read the left side of a filter: embedded relations, a column, its JSON path."""
    reader = Reader(key, "tree path")
    names = [fields.read_name(reader)]
    while reader.skip_if("."):
        names.append(fields.read_name(reader))
    return tuple(names[:-1]), Field(names[-1], fields.read_path(reader))


def read_operation(text: str) -> Operation:
    """Read the right side of a filter."""
    return _operation(Reader(text, "filter"), _rest)


def read_logic(key: str, text: str) -> tuple[Path, Condition]:
    """Read `and=(…)`, `not.or=(…)` or `relation.or=(…)`."""
    parts, reader = [], Reader(key, "logic path")
    parts.append(fields.read_name(reader))
    while reader.skip_if("."):
        parts.append(fields.read_name(reader))
    negation = "not." if "not" in parts else ""
    tree = Reader(f"{negation}{parts[-1]}{text}", "logic tree", shown=text)
    condition = _condition(tree)
    tree.skip_blanks()
    if not tree.at_end:
        tree.fail("end of input")
    return tuple(part for part in parts[:-1] if part != "not"), condition


def read_order(text: str) -> tuple[OrderTerm, ...]:
    """Read the terms of an order."""
    reader = Reader(text, "order")
    terms = [_term(reader)]
    while reader.skip_if(","):
        terms.append(_term(reader))
    return tuple(terms)


def _condition(reader: Reader) -> Condition:
    start = reader.at
    reader.skip_blanks()
    negated = reader.skip_if("not.")
    for operator in ("and", "or"):
        at = reader.at
        if reader.skip_if(operator):
            reader.skip_blanks()
            if reader.skip_if("("):
                return _logic(reader, operator, negated=negated)
            reader.at = at
    reader.at = start
    return _logic_filter(reader)


def _logic(reader: Reader, operator: str, *, negated: bool) -> Logic:
    reader.enter_nesting()
    members = [_condition(reader)]
    reader.skip_blanks()
    while reader.skip_if(","):
        members.append(_condition(reader))
        reader.skip_blanks()
    reader.expect(")")
    reader.skip_blanks()
    reader.depth -= 1
    return Logic(operator, tuple(members), negated)


def _logic_filter(reader: Reader) -> Filter:
    if reader.at_end or reader.text[reader.at] in ")(":
        reader.fail(f"{fields.NAME}, negation operator (not) or logic operator (and, or)")
    column = fields.read_field(reader)
    reader.expect(".", 'letter, digit, "-", "->>", "->" or delimiter (.)')
    return Filter(column, _operation(reader, _member_value))


def _operation(reader: Reader, value: Callable[[Reader], str]) -> Operation:
    start = reader.at
    negated = reader.skip_if("not.")
    name = reader.take_while(str.isalpha)
    if name == "in" and reader.skip_if("."):
        return Operation("in", values=_list(reader), negated=negated)
    if name == "is" and reader.skip_if("."):
        return Operation("is", _state(reader), negated=negated)
    if name in PLAIN and reader.skip_if("."):
        return Operation(name, value(reader), negated=negated)
    if name in SEARCHES:
        language = _bracketed(reader) if reader.starts_with("(") else None
        if reader.skip_if("."):
            return Operation(name, value(reader), negated=negated, language=language)
    if name in QUANTIFIED:
        quantifier = next((each for each in ("any", "all") if reader.skip_if(f"({each})")), None)
        if reader.skip_if("."):
            return Operation(name, value(reader), negated=negated, quantifier=quantifier)
    at = start + len("not.") if negated else start
    raise reader.error(OPERATOR if negated else f'"not" or {OPERATOR}', at)


def _bracketed(reader: Reader) -> str:
    reader.expect("(")
    found = fields.read_type_name(reader)
    reader.expect(")")
    return found


def _state(reader: Reader) -> str:
    rest = reader.text[reader.at :].lower()
    for state in STATES:
        if rest.startswith(state):
            reader.at += len(state)
            return state
    raise reader.error("isVal: (null, not_null, true, false, unknown)")


def _list(reader: Reader) -> tuple[str, ...]:
    reader.skip_blanks()
    reader.expect("(")
    reader.skip_blanks()
    values = [_element(reader)]
    while reader.skip_if(","):
        values.append(_element(reader))
    reader.expect(")", '"," or ")"')
    reader.skip_blanks()
    return tuple(values)


def _element(reader: Reader) -> str:
    start = reader.at
    if reader.starts_with('"'):
        try_quoted = _closed(reader)
        if try_quoted is not None:
            return try_quoted
    reader.at = start
    return reader.take_while(lambda character: character not in ",)")


def _closed(reader: Reader) -> str | None:
    # A quoted text counts as one only when the element ends with it: `"a"b` is five plain characters.
    end, position = None, reader.at + 1
    while position < len(reader.text):
        if reader.text[position] == "\\":
            position += 1
        elif reader.text[position] == '"':
            end = position
            break
        position += 1
    if end is None or (end + 1 < len(reader.text) and reader.text[end + 1] not in ",)"):
        return None
    return reader.read_quoted()


def _rest(reader: Reader) -> str:
    rest, reader.at = reader.text[reader.at :], len(reader.text)
    return rest


def _member_value(reader: Reader) -> str:
    start = reader.at
    if reader.starts_with('"'):
        found = _closed(reader)
        if found is not None:
            return found
        reader.at = start
    if reader.starts_with("{"):
        end = reader.text.find("}", reader.at)
        if end != -1 and "{" not in reader.text[reader.at + 1 : end]:
            found, reader.at = reader.text[reader.at : end + 1], end + 1
            return found
    return reader.take_while(lambda character: character not in ",)")


def _term(reader: Reader) -> OrderTerm:
    reader.skip_blanks()
    column, relation = Field(fields.read_name(reader)), None
    if reader.starts_with("("):
        reader.at += 1
        relation, column = column.name, fields.read_field(reader)
        reader.expect(")")
    else:
        column = Field(column.name, fields.read_path(reader))
    reader.skip_blanks()
    direction = next((each for each in ("asc", "desc") if reader.skip_if(f".{each}")), None)
    nulls = next((each for each in ("nullsfirst", "nullslast") if reader.skip_if(f".{each}")), None)
    reader.skip_blanks()
    if not reader.at_end and not reader.starts_with(","):
        _refuse_term(reader, direction, nulls)
    return OrderTerm(column, direction, nulls, relation)


def _refuse_term(reader: Reader, direction: str | None, nulls: str | None) -> None:
    if nulls or not reader.starts_with("."):
        reader.fail('"," or end of input' if nulls else 'delimiter (.), "," or end of input')
    reader.at += 1
    reader.fail('"nullsfirst" or "nullslast"' if direction else '"asc", "desc", "nullsfirst" or "nullslast"')

"""Reads names, JSON paths and select lists."""

from __future__ import annotations

from app.data.parse.reader import Reader
from app.data.parse.terms import Field, JsonStep, SelectField, SelectItem, SelectRelation

AGGREGATES = ("sum", "avg", "count", "max", "min")
NAME = "field name (* or [a..z0..9_$])"


def read_select(text: str) -> tuple[SelectItem, ...]:
    """Read a select list."""
    reader = Reader(text, "select parameter")
    items = _items(reader)
    if not reader.done:
        reader.fail('"," or end of input')
    return items


def read_names(text: str, what: str) -> tuple[str, ...]:
    """Read names separated by commas, each once."""
    reader = Reader(text, what)
    found = [name(reader)]
    while True:
        reader.blanks()
        if not reader.takes(","):
            break
        reader.blanks()
        found.append(name(reader))
    if not reader.done:
        reader.fail('"," or end of input')
    return tuple(dict.fromkeys(found))


def name(reader: Reader) -> str:
    """Read one name, quoted or plain."""
    if reader.sees('"'):
        return reader.quoted()
    start = reader.at
    parts = [_identifier(reader)]
    while reader.sees("-") and not reader.sees("->"):
        reader.at += 1
        parts.append(_identifier(reader))
    if reader.at == start:
        reader.fail(NAME)
    return "-".join(parts)


def field(reader: Reader) -> Field:
    """Read a name with its JSON path."""
    reader.blanks()
    found = Field(name(reader), path(reader))
    reader.blanks()
    return found


def path(reader: Reader) -> tuple[JsonStep, ...]:
    """Read any number of `->key` and `->>key`."""
    steps = []
    while reader.sees("->"):
        arrow = "->>" if reader.sees("->>") else "->"
        reader.at += len(arrow)
        steps.append(_index(reader, arrow) or JsonStep(arrow, _key(reader)))
    return tuple(steps)


def cast_name(reader: Reader) -> str:
    """Read the name of a type after `::`; nothing in it can end the name and begin other SQL."""
    found = reader.run_of(_is_name_character).strip()
    if not found:
        reader.fail("letter or digit")
    return found


def _is_name_character(character: str) -> bool:
    return character.isalnum() or character in "_ $"


def _identifier(reader: Reader) -> str:
    start = reader.at
    found = reader.run_of(_is_name_character)
    if not found:
        reader.fail(NAME, start)
    return found.strip()


def _index(reader: Reader, arrow: str) -> JsonStep | None:
    start = reader.at
    sign = "-" if reader.takes("-") else "+"
    digits = reader.run_of(lambda character: character in "0123456789")
    if digits and (reader.done or reader.text[reader.at] in ".,)" or reader.sees("->") or reader.sees("::")):
        return JsonStep(arrow, sign + digits, index=True)
    if sign == "-":
        reader.fail("digit" if not digits else 'digit, "->", "::", ".", "," or end of input')
    reader.at = start
    return None


def _key(reader: Reader) -> str:
    if reader.sees('"'):
        return reader.quoted()
    parts = [_key_part(reader)]
    while reader.sees("-") and not reader.sees("->"):
        reader.at += 1
        parts.append(_key_part(reader))
    return "-".join(parts)


def _key_part(reader: Reader) -> str:
    found = reader.run_of(lambda character: character not in "(-:.,>)")
    if not found:
        reader.fail("any non reserved character different from: .,>()")
    return found.strip()


def _items(reader: Reader) -> tuple[SelectItem, ...]:
    if reader.done or reader.sees(")"):
        return ()
    items = [_item(reader)]
    while True:
        reader.blanks()
        if not reader.takes(","):
            return tuple(items)
        reader.blanks()
        items.append(_item(reader))


def _item(reader: Reader) -> SelectItem:
    reader.blanks()
    if reader.takes("..."):
        return _relation(reader, name(reader), None, spread=True)
    if reader.takes("*"):
        return SelectField(Field("*"))
    alias, found = _aliased(reader)
    if reader.sees("(") and found == "count":
        reader.needs("()")
        return SelectField(Field("*"), alias, None, "count", _cast(reader))
    if reader.sees("!") or reader.sees("("):
        return _relation(reader, found, alias, spread=False)
    return _plain(reader, found, alias)


def _aliased(reader: Reader) -> tuple[str | None, str]:
    first = name(reader)
    if reader.sees(":") and not reader.sees("::"):
        reader.at += 1
        reader.blanks()
        return first, name(reader)
    return None, first


def _plain(reader: Reader, found: str, alias: str | None) -> SelectField:
    column = Field(found, path(reader))
    reader.blanks()
    cast = _cast(reader)
    aggregate = next((each for each in AGGREGATES if reader.takes(f".{each}()")), None)
    item = SelectField(column, alias, cast, aggregate, _cast(reader) if aggregate else None)
    reader.blanks()
    if not (reader.done or reader.sees(",") or reader.sees(")")):
        reader.fail('letter, digit, "-", "->>", "->", "::", ".", ")", "," or end of input')
    return item


def _cast(reader: Reader) -> str | None:
    return cast_name(reader) if reader.takes("::") else None


def _relation(reader: Reader, found: str, alias: str | None, *, spread: bool) -> SelectRelation:
    hint = join = None
    while reader.takes("!"):
        given = name(reader)
        if given in ("inner", "left"):
            join = join or given
        else:
            hint = hint or given
    reader.needs("(")
    reader.deeper()
    items = _items(reader)
    reader.needs(")")
    reader.depth -= 1
    return SelectRelation(found, items, alias, hint, join, spread)

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
    if not reader.at_end and not reader.starts_with(")"):  # nobody minds one too many
        reader.fail('"," or end of input')
    return items


def read_names(text: str, what: str) -> tuple[str, ...]:
    """Read names separated by commas, each once."""
    reader = Reader(text, what)
    found = [read_name(reader)]
    while True:
        reader.skip_blanks()
        if not reader.skip_if(","):
            break
        reader.skip_blanks()
        found.append(read_name(reader))
    if not reader.at_end:
        reader.fail('"," or end of input')
    return tuple(dict.fromkeys(found))


def read_name(reader: Reader) -> str:
    """Read one name, quoted or plain."""
    if reader.starts_with('"'):
        return reader.read_quoted()
    start = reader.at
    parts = [_identifier(reader)]
    while reader.starts_with("-") and not reader.starts_with("->"):
        reader.at += 1
        parts.append(_identifier(reader))
    if reader.at == start:
        reader.fail(NAME)
    return "-".join(parts)


def read_field(reader: Reader) -> Field:
    """Read a name with its JSON path."""
    reader.skip_blanks()
    found = Field(read_name(reader), read_path(reader))
    reader.skip_blanks()
    return found


def read_path(reader: Reader) -> tuple[JsonStep, ...]:
    """Read any number of `->key` and `->>key`."""
    steps = []
    while reader.starts_with("->"):
        arrow = "->>" if reader.starts_with("->>") else "->"
        reader.at += len(arrow)
        steps.append(_index(reader, arrow) or JsonStep(arrow, _key(reader)))
    return tuple(steps)


def read_type_name(reader: Reader) -> str:
    """Read the name of a type after `::`; nothing in it can end the name and begin other SQL."""
    found = reader.take_while(_is_name_character).strip()
    if not found:
        reader.fail("letter or digit")
    return found


def _is_name_character(character: str) -> bool:
    return character.isalnum() or character in "_ $"


def _identifier(reader: Reader) -> str:
    start = reader.at
    found = reader.take_while(_is_name_character)
    if not found:
        reader.fail(NAME, start)
    return found.strip()


def _index(reader: Reader, arrow: str) -> JsonStep | None:
    start = reader.at
    sign = "-" if reader.skip_if("-") else "+"
    digits = reader.take_while(lambda character: character in "0123456789")
    if digits and (
        reader.at_end or reader.text[reader.at] in ".,)" or reader.starts_with("->") or reader.starts_with("::")
    ):
        return JsonStep(arrow, sign + digits, index=True)
    if sign == "-":
        reader.fail("digit" if not digits else 'digit, "->", "::", ".", "," or end of input')
    reader.at = start
    return None


def _key(reader: Reader) -> str:
    if reader.starts_with('"'):
        return reader.read_quoted()
    parts = [_key_part(reader)]
    while reader.starts_with("-") and not reader.starts_with("->"):
        reader.at += 1
        parts.append(_key_part(reader))
    return "-".join(parts)


def _key_part(reader: Reader) -> str:
    found = reader.take_while(lambda character: character not in "(-:.,>)")
    if not found:
        reader.fail("any non reserved character different from: .,>()")
    return found.strip()


def _items(reader: Reader) -> tuple[SelectItem, ...]:
    if reader.at_end or reader.starts_with(")"):
        return ()
    items = [_item(reader)]
    while True:
        reader.skip_blanks()
        if not reader.skip_if(","):
            return tuple(items)
        reader.skip_blanks()
        items.append(_item(reader))


def _item(reader: Reader) -> SelectItem:
    reader.skip_blanks()
    if reader.skip_if("..."):
        return _relation(reader, read_name(reader), None, spread=True)
    if reader.skip_if("*"):
        return SelectField(Field("*"))
    alias, found = _aliased(reader)
    if reader.starts_with("(") and found == "count":
        reader.expect("()")
        return SelectField(Field("*"), alias, None, "count", _cast(reader))
    if reader.starts_with("!") or reader.starts_with("("):
        return _relation(reader, found, alias, spread=False)
    return _plain(reader, found, alias)


def _aliased(reader: Reader) -> tuple[str | None, str]:
    first = read_name(reader)
    if reader.starts_with(":") and not reader.starts_with("::"):
        reader.at += 1
        reader.skip_blanks()
        return first, read_name(reader)
    return None, first


def _plain(reader: Reader, found: str, alias: str | None) -> SelectField:
    column = Field(found, read_path(reader))
    reader.skip_blanks()
    cast = _cast(reader)
    aggregate = next((each for each in AGGREGATES if reader.skip_if(f".{each}()")), None)
    item = SelectField(column, alias, cast, aggregate, _cast(reader) if aggregate else None)
    reader.skip_blanks()
    if not (reader.at_end or reader.starts_with(",") or reader.starts_with(")")):
        reader.fail('letter, digit, "-", "->>", "->", "::", ".", ")", "," or end of input')
    return item


def _cast(reader: Reader) -> str | None:
    return read_type_name(reader) if reader.skip_if("::") else None


def _relation(reader: Reader, found: str, alias: str | None, *, spread: bool) -> SelectRelation:
    hint = join = None
    while reader.skip_if("!"):
        given = read_name(reader)
        if given in ("inner", "left"):
            join = join or given
        else:
            hint = hint or given
    reader.expect("(")
    reader.enter_nesting()
    items = _items(reader)
    reader.expect(")")
    reader.depth -= 1
    return SelectRelation(found, items, alias, hint, join, spread)

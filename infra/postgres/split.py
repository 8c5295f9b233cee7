"""Cuts SQL into its statements with Postgres' own lexer, and with its grammar where the lexer does not know enough.

A statement ends at a semicolon outside parentheses and outside `BEGIN ATOMIC … END`, the body of a routine. Only what
the server's lexer takes for a token counts, so names, quotes and comments hold whatever they like. One thing the lexer
cannot tell: in a body END may also name a column (`SELECT 1 AS end`). There the grammar is asked; what pg_dump writes
quotes such names, so a dump is cut by the lexer alone, as it comes.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

WINDOW_BYTES = 4096
# How often the grammar is asked about one statement: each answer takes as long as the statement is.
MOST_QUESTIONS = 200
# Its kind as the lexer numbers it, where it begins and where it ends, in bytes.
_Token = tuple[int, int, int]


class InvalidEncoding(ValueError):
    """What should be SQL is not text in UTF-8."""


@dataclass(frozen=True)
class SqlStatement:
    """A statement and where it begins in the whole text, counted in characters from 0."""

    text: str
    offset: int


def split_statements(text: str) -> list[SqlStatement]:
    """Return the statements of a text; what holds nothing but blanks and comments is left out.

    What is no SQL is cut somewhere, too: the server that is given the piece says what is wrong with it.
    """
    found: list[SqlStatement] = []
    plain = text.encode()
    closed, start, offset = plain + b"\n;", 0, 0
    while start < len(plain):
        first = StatementScanner(start)
        end = _confirmed(first, closed, start)
        # Without an end a quote or a comment is open, which is something to complain of.
        piece = plain[start : len(plain) if end is None else end].decode()
        if first.says_something or end is None:
            found.append(SqlStatement(piece, offset))
        if end is None:
            break
        start, offset = end + 1, offset + len(piece) + 1
    return found


def parse_statements(text: str) -> list[tuple[SqlStatement, Any]]:
    """Return the statements of a text, each with the grammar's node of it; nothing where the grammar takes no text.

    A node has one member that is set, named after what the statement is: `alter_role_set_stmt`, …
    """
    from postgast import PgQueryError, parse  # noqa: PLC0415 - see _kinds

    try:
        found = parse(text).stmts
    except PgQueryError:
        return []
    plain, parsed = text.encode(), []
    for each in found:
        start = each.stmt_location
        piece = plain[start : start + each.stmt_len if each.stmt_len else len(plain)].decode()
        parsed.append((SqlStatement(piece, len(plain[:start].decode())), each.stmt))
    return parsed


class StatementScanner:
    """Looks for the end of a statement in a text that may still grow, and reads no part of it twice without need.

    start   where in the text the statement begins, in bytes
    bodies  whether a routine's body is known by its tokens; otherwise each of its semicolons counts
    """

    def __init__(self, start: int = 0, *, bodies: bool = True) -> None:
        self.says_something = False
        self.has_body = False
        self._bodies = bodies
        self._place = start
        self._head: list[int] = []
        self._before = 0
        self._parentheses = self._body = 0

    def end(self, data: bytes | bytearray) -> int | None:
        """Return where the semicolon stands; None when `data` ends before that is known.

        data  at least what was given at the last call

        Raises InvalidEncoding.
        """
        return next((place for place, _ in self.all_ends(data)), None)

    def all_ends(self, data: bytes | bytearray) -> Iterator[tuple[int, int]]:
        """Yield where the statement ends, or with no body known might end, and the kind of the token before."""
        # Most statements are short: the first semicolon there is will be the one.
        size = max(data.find(b";", self._place) + 1 - self._place, 0) or WINDOW_BYTES
        while True:
            begin = self._place
            for kind, start, stop in _certain_tokens(data[begin : begin + size]):
                self._place = begin + stop
                if self._ends_at(kind):
                    yield begin + start, self._before
            if begin + size >= len(data):
                return
            size = WINDOW_BYTES if self._place > begin else 2 * size

    def _ends_at(self, kind: int) -> bool:
        """Take the next token; say whether it is the statement's last."""
        known = _kinds()
        if kind == known.semicolon and not self._parentheses and not self._body:
            return True
        if kind in known.comments:
            return False
        self.says_something = True
        if len(self._head) < len(known.longest_head):
            self._head.append(kind)
        self._parentheses = max(0, self._parentheses + known.parentheses.get(kind, 0))
        if self._body:
            self._body += known.nesting.get(kind, 0)
        elif (self._before, kind) == known.body and self._bodies and not self._parentheses and not self.has_body:
            self.has_body = tuple(self._head) in known.routines or tuple(self._head[:2]) in known.routines
            self._body = int(self.has_body)
        self._before = kind
        return False


def _confirmed(first: StatementScanner, data: bytes, start: int) -> int | None:
    """Return where a statement ends: with a body, where the grammar agrees."""
    end = first.end(data)
    if not first.has_body or (end is not None and _is_whole(data[start:end])):
        return end
    ends = StatementScanner(start, bodies=False).all_ends(data)
    behind_end = (place for place, before in ends if before == _kinds().end)
    return next((place for place in islice(behind_end, MOST_QUESTIONS) if _is_whole(data[start:place])), end)


def _is_whole(statement: bytes) -> bool:
    """Return whether the grammar takes this for one statement. A prefix of one that ends at a semicolon never is."""
    from postgast import PgQueryError, split  # noqa: PLC0415 - see _kinds

    try:
        return len(split(_lexed(statement)[0].decode())) == 1
    except PgQueryError:
        return False


def _certain_tokens(window: bytes | bytearray) -> Iterator[_Token]:
    """Yield each token that stays what it is whatever follows the window."""
    known, (_, tokens) = _kinds(), _lexed(window)
    # The last one may go on behind the window: a string even behind a comment, in the next line.
    last = max((place for place, token in enumerate(tokens) if token[0] not in known.comments), default=-1)
    if last >= 0 and tokens[last][0] == known.semicolon:
        last += 1
    yield from tokens[: max(last, 0)]


def _lexed(window: bytes | bytearray) -> tuple[bytes, list[_Token]]:
    """Return the text and its tokens up to the first that is broken, or that the window breaks off.

    A string goes on behind a comment and in the next line, for the server. This lexer keeps comments and does not
    know that: such comments are made blanks.
    """
    text = bytes(window)
    while True:
        tokens = _tokens(text)
        between = [token for token in _comments_in_strings(text, tokens) if text[token[1] : token[2]].strip()]
        if not between:
            return text, tokens
        for _, start, end in between:
            text = text[:start] + b" " * (end - start) + text[end:]


def _comments_in_strings(text: bytes, tokens: list[_Token]) -> Iterator[_Token]:
    known, held = _kinds(), list[_Token]()
    in_string = False
    for kind, start, end in [*tokens, (0, len(text), len(text))]:
        if kind == known.line_comment:
            held.append((kind, start, end))
            if in_string and text[end:].lstrip()[:1] == b"'":
                yield from held
        else:
            in_string, held = text[start:end].endswith(b"'"), []


def _tokens(text: bytes) -> list[_Token]:
    from postgast import PgQueryError, scan  # noqa: PLC0415 - see _kinds

    try:
        plain, _ = codecs.utf_8_decode(text, "strict", False)
    except UnicodeDecodeError as error:
        raise InvalidEncoding("the SQL is not text in UTF-8") from error
    try:
        found = scan(plain)
    except PgQueryError as error:
        try:
            found = scan(plain[: max(error.cursorpos - 1, 0)])
        except PgQueryError:
            return []
    return [(token.token, token.start, token.end) for token in found.tokens]


@dataclass(frozen=True)
class _Kinds:
    """The kinds of tokens that say where a statement ends, as the lexer numbers them."""

    semicolon: int
    end: int
    line_comment: int
    comments: frozenset[int]
    parentheses: dict[int, int]
    nesting: dict[int, int]
    body: tuple[int, int]
    routines: frozenset[tuple[int, ...]]

    @property
    def longest_head(self) -> tuple[int, ...]:
        """What a routine begins with at the longest."""
        return max(self.routines, key=len)


@cache
def _kinds() -> _Kinds:
    # Imported where it is used: it takes 15 MB and as long as all else that the command line loads.
    from postgast import pg_query_pb2  # noqa: PLC0415

    number = pg_query_pb2.Token.Value
    create, verbs = number("CREATE"), (number("FUNCTION"), number("PROCEDURE"))
    again = (create, number("OR"), number("REPLACE"))
    return _Kinds(
        semicolon=number("ASCII_59"),
        end=number("END_P"),
        line_comment=number("SQL_COMMENT"),
        comments=frozenset({number("SQL_COMMENT"), number("C_COMMENT")}),
        parentheses={number("ASCII_40"): 1, number("ASCII_41"): -1},
        nesting={number("CASE"): 1, number("END_P"): -1},
        body=(number("BEGIN_P"), number("ATOMIC")),
        routines=frozenset({(create, verb) for verb in verbs} | {(*again, verb) for verb in verbs}),
    )

"""SQL is cut into its statements where the server itself would cut it."""

from __future__ import annotations

import io
import random

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.backup.dump_text import DumpReader
from infra.postgres.split import MOST_QUESTIONS, split_statements

CASES = {
    "SELECT 1; SELECT 2": ["SELECT 1", " SELECT 2"],
    "SELECT ';'; SELECT 'it''s;'": ["SELECT ';'", " SELECT 'it''s;'"],
    r"SELECT E'\';'; SELECT 2": [r"SELECT E'\';'", " SELECT 2"],
    r"SELECT '\'; SELECT 2": [r"SELECT '\'", " SELECT 2"],
    'SELECT ";"; SELECT 2;': ['SELECT ";"', " SELECT 2"],
    "DO $$ BEGIN; END $$; DO $a$ $$;$$ $a$": ["DO $$ BEGIN; END $$", " DO $a$ $$;$$ $a$"],
    "SELECT $1; SELECT a$b$c; SELECT 3": ["SELECT $1", " SELECT a$b$c", " SELECT 3"],
    "-- one; two\nSELECT 1; /* a; /* b; */ c; */ SELECT 2": ["-- one; two\nSELECT 1", " /* a; /* b; */ c; */ SELECT 2"],
    "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3": [
        "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)",
        " SELECT 3",
    ],
    "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END; SELECT 3": [
        "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END",
        " SELECT 3",
    ],
    "CREATE FUNCTION public.begin() RETURNS int RETURN 1; SELECT 2": [
        "CREATE FUNCTION public.begin() RETURNS int RETURN 1",
        " SELECT 2",
    ],
    "CREATE FUNCTION atomic.case() RETURNS begin BEGIN ATOMIC SELECT begin.end FROM begin; END; SELECT begin atomic; END": [
        "CREATE FUNCTION atomic.case() RETURNS begin BEGIN ATOMIC SELECT begin.end FROM begin; END",
        " SELECT begin atomic",
        " END",
    ],
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1 AS end; SELECT 2 end; SELECT 3 AS case; END; SELECT 4": [
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1 AS end; SELECT 2 end; SELECT 3 AS case; END",
        " SELECT 4",
    ],
    "BEGIN; SELECT 1; END; SELECT 2": ["BEGIN", " SELECT 1", " END", " SELECT 2"],
    "SELECT E'a'\n'\\';b'; SELECT 2": ["SELECT E'a'\n'\\';b'", " SELECT 2"],
    "SELECT E'a' -- c\n'\\';b'; SELECT 2": ["SELECT E'a' -- c\n'\\';b'", " SELECT 2"],
    ";;  ; -- nothing\n": [],
    "SELECT 1; -- nothing": ["SELECT 1"],
    "1; 2": ["1", " 2"],
    "SELECT 'open; SELECT 2": ["SELECT 'open; SELECT 2"],
    "SELECT $$open; SELECT 2": ["SELECT $$open; SELECT 2"],
    "SELECT 1; /* open; SELECT 2": ["SELECT 1", " /* open; SELECT 2"],
    "SELECT 'ä;'; SELECT ü;": ["SELECT 'ä;'", " SELECT ü"],
}


@pytest.mark.parametrize("text", CASES)
def test_a_text_is_cut_at_the_ends_of_its_statements(text):
    assert [statement.text for statement in split_statements(text)] == CASES[text]


@pytest.mark.parametrize("text", CASES)
def test_a_statement_knows_where_it_begins(text):
    assert all(text[part.offset : part.offset + len(part.text)] == part.text for part in split_statements(text))


# Pieces that statements are made of here: names that are key words elsewhere, and every way to hide a semicolon.
NAMES = ["begin", "atomic", "public.begin", '"end"', '"a;b"', "e$nd", "ünï", 'U&"d\\0061;"', "t.end", "public.case"]
STRINGS = [
    "';'",
    "'it''s;'",
    r"E'\';'",
    r"'\'",
    "$$;$$",
    "$a$ $$;$$ '$a$",
    "U&'\\003B;'",
    "B'1'",
    "'a'\n ';b'",
    "$é$;$e$;$é$",
]
COMMENTS = [" ", "\n", " -- ;'$$\n", " /* ; /* ' */ \" */ ", "\t"]
names, strings, blanks = st.sampled_from(NAMES), st.sampled_from(STRINGS), st.sampled_from(COMMENTS)
expressions = st.recursive(
    names | strings | st.sampled_from(["1", "$1", "1 - -1", "'a' || ';'", "2 @- 3", "ARRAY[1,2]"]),
    lambda inner: st.one_of(
        inner.map(lambda e: f"({e})"),
        st.tuples(inner, inner).map(lambda e: f"CASE WHEN {e[0]} THEN {e[1]} END"),
        st.tuples(inner, names).map(lambda e: f"(SELECT {e[0]} AS {e[1].rpartition('.')[2]})"),
        st.tuples(names, inner).map(lambda e: f"{e[0]}({e[1]})"),
    ),
    max_leaves=4,
)


def statements_with(labels: list[str]):
    """Make statements whose columns bear these labels."""
    selects = st.tuples(expressions, st.sampled_from(labels), blanks).map(lambda e: f"SELECT{e[2]}{e[0]}{e[1]}")
    body = st.lists(selects | st.just("RETURN 1"), max_size=4).map(lambda parts: "".join(f" {part};" for part in parts))
    routines = st.tuples(
        st.sampled_from(["CREATE", "create or replace"]),
        st.sampled_from(["FUNCTION", "procedure"]),
        blanks,
        names.filter(lambda name: not name.endswith(".end")),
        st.one_of(
            body.map(lambda text: f"BEGIN ATOMIC{text} END"),
            strings.map(lambda text: f"AS {text}"),
            expressions.map(lambda result: f"RETURN {result}"),
        ),
    ).map(lambda e: f"{e[0]} {e[1]}{e[2]}{e[3]}(begin int) LANGUAGE begin {e[4]}")
    return st.one_of(
        selects,
        routines,
        st.sampled_from(["BEGIN", "END", "COMMIT", "", "DO $$BEGIN; END$$", "TABLE begin"]),
        selects.map(lambda one: f"CREATE RULE r AS ON INSERT TO begin DO ({one}; {one})"),
        st.tuples(names, selects).map(lambda e: f"PREPARE {e[0].rpartition('.')[2]} AS {e[1]}"),
    )


QUOTED = ["", ' AS "end"', ' AS "case"', " AS begin", " AS atomic", ' AS ";"']
statements = statements_with([*QUOTED, " AS end", " AS case", " end", " begin", " atomic"])
dumped = statements_with(QUOTED).filter(bool)


@pytest.fixture(scope="module")
def server(server_url):
    with psycopg.connect(server_url, autocommit=True, options="-c log_min_messages=panic") as connection:
        yield connection


def count(server, text: str) -> int | None:
    """Ask the server's parser how many statements there are, as far as it says: 0, 1 or more; None when it takes none."""
    result = server.pgconn.prepare(b"", text.encode())
    message = (result.error_message or b"").decode()
    if "cannot insert multiple commands" in message:
        return 2
    if "syntax error" in message or "unterminated" in message:
        return None
    return 1


@pytest.mark.parametrize("most", [300, pytest.param(20_000, marks=pytest.mark.full)], ids=["some", "campaign"])
def test_the_server_takes_each_piece_for_one_statement_and_no_part_of_it_for_one(server, most):
    @settings(
        max_examples=most, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True
    )
    @given(st.lists(st.tuples(statements, blanks), min_size=1, max_size=5))
    def check(parts):
        text = ";".join(part + blank for part, blank in parts)
        pieces = split_statements(text)
        if count(server, text) is None:
            return  # no SQL to the server: where it is cut is of no consequence
        assert [count(server, piece.text) for piece in pieces] == [1] * len(pieces), text
        # A comment at the end hides nothing: the pieces are the whole text, but for what says nothing.
        assert len(pieces) == sum(1 for part, _ in parts if part), text

    check()


ROWS = [
    "1\tit's; $$ /* \"\n",
    "\\\\.\n",
    "SELECT 1;\n",
    "\\N\n",
    "x\\n\\\\.\n",
    "ünï\n",
    "\n",
    "\\.x\n",
    "x" * 5000 + "\n",
]


class Dribble(io.BytesIO):
    """A source that gives as much as chance says."""

    def __init__(self, text: bytes, seed: int) -> None:
        super().__init__(text)
        self._random = random.Random(seed)

    def read(self, _size=-1):
        return super().read(self._random.choice([1, 2, 3, 5, 100, 3000]))


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("SELECT"), dumped),
            st.tuples(st.just("COPY"), st.lists(st.sampled_from(ROWS), max_size=4).map("".join)),
        ),
        max_size=5,
    ),
    st.integers(0, 1000),
)
def test_a_dump_is_read_alike_in_whatever_pieces_it_comes(parts, seed):
    copy = 'COPY public."a;b" ("c\'") FROM stdin'
    text = "\\restrict Abc\n\n--\n-- Name: a'; Type: X\n--\n\n"
    for kind, body in parts:
        text += f"{copy};\n{body}\\.\n\n\n" if kind == "COPY" else f"{body};\n\n--\n-- Name: 'x\n--\n"
    text += "-- complete\n\\unrestrict Abc\n"
    dump = DumpReader(Dribble(text.encode(), seed), lambda _read: None)
    seen = []
    while (statement := dump.next_statement()) is not None:
        rows = b"".join(dump.copy_rows()) if statement == copy.encode() else None
        seen.append(("COPY", rows.decode()) if rows is not None else ("SELECT", statement.decode()))
    assert seen == parts


def test_a_statement_that_no_end_is_found_for_costs_a_bounded_number_of_questions(monkeypatch):
    asked = []
    monkeypatch.setattr("infra.postgres.split._is_whole", lambda text: asked.append(text))
    body = "SELECT 1 AS end; " * 5000
    assert split_statements(f"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC {body}")
    assert len(asked) <= 1 + MOST_QUESTIONS

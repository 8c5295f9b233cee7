"""SQL is cut into its statements where psql would cut it."""

from __future__ import annotations

import pytest

from infra.split import split

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
    "BEGIN; SELECT 1; END; SELECT 2": ["BEGIN", " SELECT 1", " END", " SELECT 2"],
    ";;  ; -- nothing\n": [],
    "1; 2": ["1", " 2"],
    "SELECT 'open; SELECT 2": ["SELECT 'open; SELECT 2"],
    "SELECT $$open; SELECT 2": ["SELECT $$open; SELECT 2"],
    "SELECT 'ä;'; SELECT ü;": ["SELECT 'ä;'", " SELECT ü"],
}


@pytest.mark.parametrize("text", CASES)
def test_a_text_is_cut_at_the_ends_of_its_statements(text):
    assert [statement.text for statement in split(text)] == CASES[text]


@pytest.mark.parametrize("text", CASES)
def test_a_statement_knows_where_it_begins(text):
    assert all(text[part.offset : part.offset + len(part.text)] == part.text for part in split(text))

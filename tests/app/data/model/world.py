"""What generated requests ask about: tables of all sorts of types, how they hang together, and values for them."""

from __future__ import annotations

from dataclasses import dataclass, field

TABLES = """
CREATE TYPE m_state AS ENUM ('new', 'open', 'done');
CREATE TABLE m_authors (id int PRIMARY KEY, name text NOT NULL, born date, "odd name" text, state m_state);
CREATE TABLE m_books (id int PRIMARY KEY, title text NOT NULL DEFAULT 'untitled', author_id int REFERENCES m_authors,
    price numeric(8,2), pages int CHECK (pages > 0), tags text[], about jsonb, period int4range, published boolean,
    added timestamptz DEFAULT '2020-01-01', slug varchar(12) UNIQUE,
    words tsvector GENERATED ALWAYS AS (to_tsvector('english', title)) STORED);
CREATE TABLE m_genres (id int PRIMARY KEY, label text);
CREATE TABLE m_books_genres (book_id int REFERENCES m_books, genre_id int REFERENCES m_genres, PRIMARY KEY (book_id, genre_id));
CREATE TABLE m_notes (id int PRIMARY KEY, book_id int REFERENCES m_books, body text, hidden boolean NOT NULL DEFAULT false);
ALTER TABLE m_notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON m_notes USING (NOT hidden);
CREATE VIEW m_shelf AS SELECT id, title, pages, author_id, about FROM m_books WHERE published;
"""
ROWS = """
INSERT INTO m_authors VALUES (1, 'Ada', '1815-12-10', 'x', 'done'), (2, 'Bob', NULL, 'a b', 'new'), (3, 'a,b', '1900-01-01', NULL, 'open'),
    (4, '', '2000-02-29', '%', NULL), (5, 'Émile', '1999-12-31', '"', 'new');
INSERT INTO m_books (id, title, author_id, price, pages, tags, about, period, published, slug) VALUES
    (1, 'One fat cat', 1, 9.99, 10, '{a,b}', '{"k": {"n": 1}, "l": [1, 2]}', '[1,10)', true, 'one'),
    (2, 'Two rats', 1, 0, 20, '{b}', NULL, '[5,7)', false, 'two'), (3, 'Three', 2, NULL, NULL, '{}', '{"k": null}', NULL, true, NULL),
    (4, '%', NULL, 100000.01, 1, NULL, '{"k": "a"}', 'empty', NULL, 'four'), (5, 'a*b', 3, -1.5, 999, '{"a,b","\\"q\\""}', '[]', '(,3]', true, 'x'),
    (6, '', 5, 1, 5, '{NULL,a}', '"text"', '[10,20)', false, '''; --'), (7, 'ä 𝄞 (x)', 5, 1, 5, '{ä}', '{"k": {"n": "a"}}', '[7,8)', true, '\\'),
    (8, 'the cats and the rats', 4, 12.5, 300, '{c,a}', '5', '[1,)', true, 'eight');
INSERT INTO m_genres VALUES (1, 'novel'), (2, 'poem'), (3, NULL), (4, 'a.b');
INSERT INTO m_books_genres VALUES (1, 1), (1, 2), (2, 2), (3, 3), (5, 1), (8, 1), (8, 2), (8, 3);
INSERT INTO m_notes VALUES (1, 1, 'good', false), (2, 1, 'secret', true), (3, 2, NULL, false), (4, 5, 'a b', false), (5, NULL, 'x', false),
    (6, 8, 'lost', true), (7, 8, 'Good', false);
"""
INT, NUM, TEXT, BOOL, DATE, MOMENT = "int", "numeric", "text", "boolean", "date", "timestamptz"
TAGS, JSONB, RANGE, STATE, WORDS = "text[]", "jsonb", "int4range", "m_state", "tsvector"


@dataclass(frozen=True)
class Embedded:
    """A relation that can be embedded: by which condition, `{near}` and `{far}` being the two; whether it is one row."""

    table: str
    condition: str
    one: bool = False


@dataclass(frozen=True)
class Relation:
    """A relation, its columns with their types, and what can be embedded in it; writable: its rows can be changed."""

    name: str
    columns: dict[str, str]
    embeds: tuple[Embedded, ...] = ()
    writable: bool = True
    generated: frozenset[str] = field(default_factory=frozenset)
    unique: str = "id"


BOOKS = {"id": INT, "title": TEXT, "author_id": INT, "pages": INT, "about": JSONB}
AUTHOR = Embedded("m_authors", "{far}.id = {near}.author_id", one=True)
BY_GENRE = "EXISTS (SELECT FROM public.m_books_genres x WHERE x.book_id = {book}.id AND x.genre_id = {genre}.id)"
RELATIONS = {
    each.name: each
    for each in (
        Relation(
            "m_authors",
            {"id": INT, "name": TEXT, "born": DATE, "odd name": TEXT, "state": STATE},
            (Embedded("m_books", "{far}.author_id = {near}.id"), Embedded("m_shelf", "{far}.author_id = {near}.id")),
        ),
        Relation(
            "m_books",
            BOOKS
            | {
                "price": NUM,
                "tags": TAGS,
                "period": RANGE,
                "published": BOOL,
                "added": MOMENT,
                "slug": TEXT,
                "words": WORDS,
            },
            (
                AUTHOR,
                Embedded("m_notes", "{far}.book_id = {near}.id"),
                Embedded("m_genres", BY_GENRE.format(book="{near}", genre="{far}")),
            ),
            generated=frozenset({"words"}),
            unique="slug",
        ),
        Relation(
            "m_genres",
            {"id": INT, "label": TEXT},
            (Embedded("m_books", BY_GENRE.format(book="{far}", genre="{near}")),),
        ),
        Relation(
            "m_notes",
            {"id": INT, "book_id": INT, "body": TEXT, "hidden": BOOL},
            (Embedded("m_books", "{far}.id = {near}.book_id", one=True),),
        ),
        Relation("m_shelf", BOOKS, (AUTHOR,), writable=False),
    )
}
HOSTILE = (
    "", "a", "*", "a*b*", "%", "%%", "%s", "%(p0)s", "$1", "null", "NULL", "eq.1", "not.eq.1", "a,b", "(a)", ")", '"', '"a,b"', '"a"b',
    "\\", "\\\\", "\\%", "{a}", "{}", "{", "'", "''; --", "ä", "𝄞", "a b", "a+b", "a&b=c", "1e9", "-1", "a.b", "1.5", "\n", "a" * 300, "[",
    "(", "a|b", "!", "&", "a:*", "9" * 30, "true", "infinity", "NaN", "now", "epoch", "0x10", " 1 ", "1 ", "[1,2", '{"a":1}', "::int", "#", "?",
    "\u200b", "\u202e", "\u0130", "/*", "--", "1=1", "${jndi}", "<a>", "\t", "\ue000", "K", "ſ",
)  # fmt: skip
SAMPLES = {
    INT: ("1", "2", "3", "5", "7", "10", "20", "999", "0", "-1", "2147483647", "2147483648"),
    NUM: ("9.99", "0", "1", "-1.5", "100000.01", "12.50", "1e2", "NaN"),
    TEXT: ("Ada", "Bob", "Three", "One fat cat", "a,b", "a*b", "", "ä 𝄞 (x)", "one", "good", "novel", "a.b", "%"),
    BOOL: ("true", "false", "t", "no", "1"),
    DATE: ("1815-12-10", "1900-01-01", "2000-02-29", "2001-02-29", "infinity"),
    MOMENT: ("2020-01-01", "2020-01-01T00:00:00Z", "2019-12-31 23:59:59+02", "epoch"),
    TAGS: ("{a}", "{a,b}", "{}", '{"a,b"}', "{b,NULL}", "{ä}"),
    JSONB: ('{"k": {"n": 1}}', "[]", "5", '"text"', "null", '{"k": null}', "{}", "[1"),
    RANGE: ("[1,10)", "[5,7)", "empty", "(,)", "[7,3]", "[1,3]"),
    STATE: ("new", "open", "done", "NEW"),
    WORDS: ("cat", "rat", "fat & cat", "'cat'"),
}  # fmt: skip

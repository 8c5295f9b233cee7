"""Changes of columns' types and keys, and of functions, and the requests that notice each."""

from __future__ import annotations

from tests.app.data.asked import WROTE, Asked, Change, code, get, patch, post

UTC = {"prefer": "timezone=UTC"}
MERGES = {"prefer": "return=representation, resolution=merge-duplicates"}
MOMENT = "2024-05-06T07:08:09+00:00"
OF_TYPES = (
    Change(
        "a shorter text becomes long", "CREATE TABLE {t} (w varchar(3))",
        "ALTER TABLE {t} ALTER w TYPE text; INSERT INTO {t} VALUES ('long words')",
        (post("/{t}", {"w": "longer"}, 201, [{"w": "longer"}]), get("/{t}?w=eq.long words", 200, [{"w": "long words"}])),
    ),
    Change(
        "a date becomes a moment", "CREATE TABLE {t} (id int, d date); INSERT INTO {t} VALUES (2, '2000-01-01')",
        f"ALTER TABLE {{t}} ALTER d TYPE timestamptz; UPDATE {{t}} SET d = '{MOMENT}'",
        (
            post("/{t}", {"id": 1, "d": MOMENT}, 201, [{"id": 1, "d": MOMENT}]),
            patch("/{t}?id=eq.2", {"d": MOMENT}, 200, [{"id": 2, "d": MOMENT}]),
            get("/{t}?id=eq.2&d=eq.2024-05-06T07:08:09Z", 200, [{"id": 2, "d": MOMENT}], headers=UTC),
        ),
    ),
    Change(
        "a number keeps more digits", "CREATE TABLE {t} (n numeric(6,2))", "ALTER TABLE {t} ALTER n TYPE numeric",
        (post("/{t}", {"n": 1.239}, 201, [{"n": 1.239}]), post("/{t}", [{"n": 2.345}], 201, [{"n": 2.345}])),
    ),
    Change(
        "a moment keeps its fractions", "CREATE TABLE {t} (m timestamp(0))", "ALTER TABLE {t} ALTER m TYPE timestamp",
        (post("/{t}", {"m": "2024-05-06T07:08:09.75"}, 201, [{"m": "2024-05-06T07:08:09.75"}]),),
    ),
    Change(
        "padded text becomes plain", "CREATE TABLE {t} (w char(4))", "ALTER TABLE {t} ALTER w TYPE text",
        (post("/{t}", {"w": "a "}, 201, [{"w": "a "}]),),
    ),
    Change(
        "a number becomes text", "CREATE TABLE {t} (n int)",
        "ALTER TABLE {t} ALTER n TYPE text; INSERT INTO {t} VALUES ('abc')",
        (get("/{t}?n=eq.abc", 200, [{"n": "abc"}]), post("/{t}", {"n": "x"}, 201, [{"n": "x"}])),
    ),
    Change(
        "a whole number becomes a fraction", "CREATE TABLE {t} (n int)",
        "ALTER TABLE {t} ALTER n TYPE float8; INSERT INTO {t} VALUES (1.5)",
        (get("/{t}?n=eq.1.5", 200, [{"n": 1.5}]), get("/{t}?n=in.(1.5,2)", 200, [{"n": 1.5}])),
    ),
    Change(
        "a text becomes an array", "CREATE TABLE {t} (a text)",
        "ALTER TABLE {t} ALTER a TYPE text[] USING ARRAY[a]; INSERT INTO {t} VALUES ('{{x,y}}')",
        (post("/{t}", {"a": ["p"]}, 201, [{"a": ["p"]}]), get("/{t}?a=cs.{{y}}", 200, [{"a": ["x", "y"]}])),
    ),
    Change(
        "json becomes binary", "CREATE TABLE {t} (j json)",
        "ALTER TABLE {t} ALTER j TYPE jsonb; INSERT INTO {t} VALUES ('{{\"k\": 1}}')",
        (get('/{t}?j=cs.{{"k":1}}', 200, [{"j": {"k": 1}}]),),
    ),
    Change(
        "a key is added, then rows are merged", "CREATE TABLE {t} (id int, w text)",
        "TRUNCATE {t}; ALTER TABLE {t} ADD PRIMARY KEY (id); INSERT INTO {t} VALUES (1, 'old')",
        (
            post("/{t}", {"id": 1, "w": "new"}, 200, [{"id": 1, "w": "new"}], MERGES),
            Asked("PUT", "/{t}?id=eq.1", 200, [{"id": 1, "w": "put"}], {"id": 1, "w": "put"}, WROTE),
        ),
    ),
    Change(
        "the key moves to another column", "CREATE TABLE {t} (id int PRIMARY KEY, k int NOT NULL, w text)",
        "TRUNCATE {t}; ALTER TABLE {t} DROP CONSTRAINT {t}_pkey, ADD PRIMARY KEY (k); INSERT INTO {t} VALUES (1, 7, 'old')",
        (post("/{t}", {"id": 2, "k": 7, "w": "new"}, 200, [{"id": 2, "k": 7, "w": "new"}], MERGES),),
    ),
)  # fmt: skip
OF_FUNCTIONS = (
    Change(
        "a function may write", "CREATE TABLE {t}_log (n int); CREATE FUNCTION {t}() RETURNS int STABLE LANGUAGE plpgsql AS "
        "$$BEGIN INSERT INTO {t}_log VALUES (1); RETURN 1; END$$", "ALTER FUNCTION {t}() VOLATILE",
        (post("/rpc/{t}", {}, 200, 1),),
    ),
    Change(
        "a function only reads", "CREATE FUNCTION {t}() RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1'",
        "ALTER FUNCTION {t}() STABLE",
        (Asked("OPTIONS", "/rpc/{t}", 200, lambda _body: True), get("/rpc/{t}", 200, 1)),
    ),
    Change(
        "a function returns a table", "CREATE FUNCTION {t}() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'",
        "DROP FUNCTION {t}(); CREATE FUNCTION {t}() RETURNS TABLE (a int, b text) STABLE LANGUAGE sql AS $$SELECT 1, 'x'$$",
        (
            get("/rpc/{t}", 200, [{"a": 1, "b": "x"}]),
            get("/rpc/{t}?select=b&a=eq.1", 200, [{"b": "x"}]),
            post("/rpc/{t}", {}, 200, [{"a": 1, "b": "x"}]),
        ),
    ),
    Change(
        "a function returns rows of a table", "CREATE TABLE {t}_rows (id int); INSERT INTO {t}_rows VALUES (5);"
        "CREATE FUNCTION {t}() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'",
        "DROP FUNCTION {t}(); CREATE FUNCTION {t}() RETURNS SETOF {t}_rows STABLE LANGUAGE sql AS 'TABLE {t}_rows'",
        (get("/rpc/{t}?id=eq.5", 200, [{"id": 5}]),),
    ),
    Change(
        "a function takes a moment, no more a date",
        "CREATE FUNCTION {t}(d date) RETURNS text VOLATILE LANGUAGE sql AS 'SELECT d::text'",
        "DROP FUNCTION {t}(date); CREATE FUNCTION {t}(d timestamp) RETURNS text VOLATILE LANGUAGE sql AS 'SELECT d::text'",
        (
            post("/rpc/{t}", {"d": "2024-05-06 07:08:09"}, 200, "2024-05-06 07:08:09"),
            get("/rpc/{t}?d=2024-05-06 07:08:09", 200, "2024-05-06 07:08:09"),
        ),
    ),
    Change(
        "a function gets a parameter", "CREATE FUNCTION {t}(x int) RETURNS int STABLE LANGUAGE sql AS 'SELECT x'",
        "DROP FUNCTION {t}(int); CREATE FUNCTION {t}(x int, y int DEFAULT 5) RETURNS int STABLE LANGUAGE sql AS 'SELECT x + y'",
        (get("/rpc/{t}?x=1&y=2", 200, 3), get("/rpc/{t}?x=1", 200, 6), post("/rpc/{t}", {"x": 1, "y": 1}, 200, 2)),
    ),
    Change(
        "a function is made", "SELECT 1", "CREATE FUNCTION {t}(x int) RETURNS int STABLE LANGUAGE sql AS 'SELECT x'",
        (get("/rpc/{t}?x=4", 200, 4), post("/rpc/{t}", {"x": 4}, 200, 4)),
    ),
    Change(
        "a function is dropped", "CREATE FUNCTION {t}() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'",
        "DROP FUNCTION {t}()", (get("/rpc/{t}", 404, code("PGRST202")),),
    ),
    Change(
        "one of two functions of a name is dropped", "CREATE FUNCTION {t}(a int) RETURNS int STABLE LANGUAGE sql AS 'SELECT 1';"
        "CREATE FUNCTION {t}(a text) RETURNS int STABLE LANGUAGE sql AS 'SELECT 2'",
        "DROP FUNCTION {t}(int)", (get("/rpc/{t}?a=1", 200, 2),),
    ),
    Change(
        "a second function of a name makes it ambiguous",
        "CREATE FUNCTION {t}(a int) RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION {t}(a text) RETURNS int STABLE LANGUAGE sql AS 'SELECT 2'",
        (get("/rpc/{t}?a=1", 300, code("PGRST203")), post("/rpc/{t}", {"a": 1}, 300, code("PGRST203"))),
    ),
    Change(
        "a function's body is another", "CREATE FUNCTION {t}() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION {t}() RETURNS int STABLE LANGUAGE sql AS 'SELECT 2'",
        (get("/rpc/{t}", 200, 2), post("/rpc/{t}", {}, 200, 2)),
    ),
)  # fmt: skip

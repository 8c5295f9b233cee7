"""A change of the schema counts for whatever begins after it, whoever made it and whoever asks first."""

from __future__ import annotations

import time

import pytest

from tests.app.data.asked import is_right, named
from tests.app.data.changes import CHANGES
from tests.app.data.harm import ask

OFTEN = 7  # more than it takes until a statement is prepared
COUNTS_AFTER_SECONDS = 1.0


class Case:
    """One request that notices one change, and a data API that hears nothing else."""

    def __init__(self, world, change, asked) -> None:
        self.world, self.change, self.asked = world, change, asked
        self.names, self.instance = world.names(), world.instance()

    def prepare(self) -> None:
        """Make what is there before, and ask until everything of it is cached."""
        self.world.owner.execute(named(self.change.before, **self.names))
        for _ in range(OFTEN):
            self.ask()

    def alter(self) -> None:
        self.world.owner.execute(named(self.change.change, **self.names))

    def ask(self) -> tuple[int, str]:
        asked = self.asked
        return ask(
            self.instance,
            asked.method,
            named(asked.target, **self.names),
            named(asked.body, **self.names),
            named(asked.headers, **self.names),
        )

    def wrong(self) -> str | None:
        status, text = self.ask()
        right = is_right(self.asked, status, text, **self.names)
        return None if right else f"{self.change.name}: {self.asked.method} {self.asked.target}: {status} {text[:300]}"


def cases(world):
    return [Case(world, change, asked) for change in CHANGES for asked in change.asked]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_a_change_is_noticed_by_the_first_who_asks(stamped, change):
    """At once, and without being told by a NOTIFY."""
    made = [Case(stamped, change, asked) for asked in change.asked]
    for case in made:
        case.prepare()
    for case in made:
        case.alter()
    wrong = [case.wrong() for case in made]
    assert wrong == [None] * len(made), "What a request is answered by is the schema as it is now"


def test_each_change_counts_soon_where_no_stamp_is_kept(plain):
    made = cases(plain)
    for case in made:
        case.prepare()
    for case in made:
        case.alter()
    time.sleep(COUNTS_AFTER_SECONDS)  # the promise itself
    assert [wrong for case in made if (wrong := case.wrong())] == []


@pytest.mark.parametrize("kept", ["stamped", "plain"])
def test_a_name_that_is_not_there_is_looked_for_and_the_catalogue_not_read(request, kept):
    """Anybody may ask for it as often as they like."""
    world = request.getfixturevalue(kept)
    instance = world.instance()
    assert ask(instance, "GET", "/nowhere")[0] == 404
    known = instance._cache
    for target in ("/nowhere", "/rpc/nowhere", "/nowhere?select=*,other(*)"):
        ask(instance, "GET", target)
        known = instance._cache
        instance._checked = 0.0
        assert ask(instance, "GET", target)[0] == 404
        assert instance._cache is known


def test_a_refreshed_view_is_no_change_of_the_schema(stamped):
    names = stamped.names()
    stamped.owner.execute(named("CREATE TABLE {t} (); CREATE MATERIALIZED VIEW {t}_m AS TABLE {t}", **names))
    stamp = "SELECT launchdb.schema_stamp()"
    before = stamped.owner.execute(stamp).fetchone()[0]
    for work in ("REFRESH MATERIALIZED VIEW {t}_m", "REFRESH MATERIALIZED VIEW {t}_m WITH NO DATA"):
        stamped.owner.execute(named(work, **names))
        assert stamped.owner.execute(stamp).fetchone() == (before,), work
    stamped.owner.execute(named("REFRESH MATERIALIZED VIEW {t}_m; ALTER TABLE {t} ADD id int", **names))
    assert stamped.owner.execute(stamp).fetchone() == (before + 1,)


def test_work_that_changes_no_schema_does_not_seem_to_where_no_stamp_is_kept(plain):
    names = plain.names()
    plain.owner.execute(
        named("CREATE TABLE {t} (id int PRIMARY KEY); CREATE MATERIALIZED VIEW {t}_m AS TABLE {t}", **names)
    )
    instance = plain.instance()
    ask(instance, "GET", "/")
    known = instance._cache
    for work in (
        "INSERT INTO {t} VALUES (1)", "ANALYZE {t}", "VACUUM {t}", "VACUUM FULL {t}", "TRUNCATE {t}", "REINDEX TABLE {t}",
        "CREATE INDEX ON {t} (id)", "REFRESH MATERIALIZED VIEW {t}_m", "CREATE TEMP TABLE {t}_temp (id int DEFAULT 1)",
        "ALTER TABLE {t} SET (fillfactor = 50)",
    ):  # fmt: skip
        plain.owner.execute(named(work, **names))
        instance._checked = 0.0
        assert ask(instance, "GET", named("/{t}", **names))[0] == 200
        assert instance._cache is known, work

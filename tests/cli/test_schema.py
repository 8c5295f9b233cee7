"""launchdb db schema: which migrations the platform's database has, and what that means for a way back."""

from __future__ import annotations

import pytest

from infra.errors import Refused
from infra.postgres import migrations
from scripts.stack.update import refuse_irreversible

LATER = "INSERT INTO schema_migrations (version, checksum) VALUES ('0999_later', 'of a file that this program has not')"


def test_the_baseline_stands_for_the_files_that_it_replaces(launchdb):
    files = [(one.version, one.reversible) for one in migrations.read_migrations("platform")]
    assert [(row["version"], row["reversible"]) for row in listed(launchdb)] == files
    assert launchdb.run("db", "schema").out.split()[3] == "0001_baseline"


def test_there_is_a_way_back_over_the_baseline_and_none_over_what_nobody_knows(launchdb, infra):
    (baseline,) = (one for one in migrations.read_migrations("platform") if one.replaces)
    before = set(baseline.replaces)
    refuse_irreversible(listed(launchdb), before, "the version before")
    with infra.database.autocommit() as tx:
        tx.execute(LATER)
    with pytest.raises(Refused, match="0999_later cannot be taken back"):
        refuse_irreversible(listed(launchdb), before, "the version before")


def listed(launchdb):
    found = launchdb.run("db", "schema", "--json")
    assert found.code == 0, found.err
    return found.json["migrations"]

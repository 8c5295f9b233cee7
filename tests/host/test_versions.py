"""Which earlier version can live with a schema."""

from __future__ import annotations

import os

import pytest

from config.version import VERSION
from infra.errors import Refused, Unavailable
from infra.postgres.migrations import Migration, read_migrations
from scripts.stack import versions
from scripts.stack.checkout import Checkout
from scripts.stack.host_lock import LOCK, host_lock
from scripts.stack.update import merge_told, refuse_irreversible
from scripts.stack.versions import VersionHistory

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="files are given to another account")
APPLIED = [
    {"version": "0001_catalogue", "reversible": True},
    {"version": "0030_more", "reversible": True},
    {"version": "0031_fewer", "reversible": False},
    {"version": "0032_less", "reversible": False},
]


def test_an_earlier_version_runs_on_a_schema_that_only_has_more():
    refuse_irreversible(APPLIED[:2], {"0001_catalogue"}, "0.1.0")


def test_a_change_that_cannot_be_lived_with_is_refused_by_name():
    with pytest.raises(Refused, match="0031_fewer, 0032_less cannot be taken back"):
        refuse_irreversible(APPLIED, {"0001_catalogue"}, "0.1.0")


def test_a_version_that_knows_the_change_is_not_earlier():
    refuse_irreversible(APPLIED, {row["version"] for row in APPLIED}, "0.2.0")


def test_in_the_middle_of_a_change_who_has_a_migration_says_whether_it_can_be_lived_with():
    older, newer = APPLIED[0], APPLIED[1]
    unknown = {**newer, "reversible": False}  # as a program says that does not have the file
    for told in ([older, unknown], [older, newer]), ([older, newer], [older, unknown]):
        found = {}
        for rows in told:
            merge_told(found, rows)
        refuse_irreversible(list(found.values()), {"0001_catalogue"}, "0.1.0")


def test_a_migration_says_in_its_header_that_there_is_no_way_back():
    assert Migration("1", "", "-- adds a column\nALTER TABLE a ADD b int;").reversible
    assert not Migration("1", "", "-- drops a column\n-- reversible: no\nALTER TABLE a DROP b;").reversible


def test_every_schema_change_so_far_can_be_lived_with():
    assert [one.version for one in read_migrations("platform") if not one.reversible] == []


def test_the_checkout_says_its_version():
    assert Checkout.here().version() == VERSION


def test_what_ran_before_is_known_however_often_a_change_is_repeated():
    past = VersionHistory("1", "0").completed("2")
    assert (past.running, past.previous, past.unfinished) == ("2", "1", "")
    assert past.completed("2") == past
    assert past.completed("1") == VersionHistory("1", "2")


def test_a_change_that_has_not_ended_says_how_it_goes_on_and_back():
    assert (
        "`launchdb update 3` goes on with it, `launchdb rollback 2` goes back"
        in VersionHistory("2", "1", "3", "update").unfinished
    )
    assert (
        "`launchdb rollback 1` goes on with it, `launchdb update 2` goes back"
        in VersionHistory("2", "1", "1", "rollback").unfinished
    )


@pytest.mark.parametrize(
    ("past", "dotenv", "origin"),
    [
        (VersionHistory("1", "0", "2", "update"), "1", "1"),
        (VersionHistory("1", "0", "2", "update"), "2", "1"),
        (VersionHistory("1-previous", "0", "1", "update"), "1", "1-previous"),
        (VersionHistory("2", "1", "1", "rollback"), "2", "2"),
        (VersionHistory("2", "1", "1", "rollback"), "1", "2"),
        (VersionHistory("1", "0", "1", "rollback"), "2", "2"),
    ],
)
def test_a_change_that_is_gone_on_with_is_still_taken_back_to_what_ran_before_it(past, dotenv, origin):
    assert past.origin(dotenv) == origin


@needs_root
@pytest.mark.parametrize(
    "written", ["", "nonsense", "[]", '{"begun": "3"}', '{"begun": "3", "running": "2", "by": "x"}']
)
def test_what_is_written_down_of_versions_may_be_spoilt(tmp_path, written):
    (tmp_path / versions.FILE).write_text(written)
    assert versions.read(tmp_path, "9") == VersionHistory("9")
    begun = VersionHistory("9", "8", "10", versions.UPDATE)
    versions.write(tmp_path, begun)
    assert versions.read(tmp_path, "10") == begun


def test_a_second_command_is_told_which_one_is_at_work(tmp_path):
    with (
        host_lock(tmp_path, "update"),
        pytest.raises(Unavailable, match="`launchdb update`, since"),
        host_lock(tmp_path, "down"),
    ):
        pass
    with host_lock(tmp_path, "down"):
        pass


def test_a_link_in_the_place_of_the_lock_leads_no_command_astray(tmp_path):
    other = tmp_path / "other"
    other.write_text("kept")
    (tmp_path / LOCK).symlink_to(other)
    with pytest.raises(Refused), host_lock(tmp_path, "up"):
        pass
    assert other.read_text() == "kept"

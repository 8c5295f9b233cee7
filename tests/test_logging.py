"""What a log line, an event or an error says holds no secret, wherever in it one stands."""

from __future__ import annotations

import json
import logging

import pytest

from config.logging import JsonLines, ProjectShare, hide_values, scrub

KNOWN = "known-secret-of-the-tests"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
SECRETS = {
    "a known value": KNOWN,
    "a password in a URL": "postgresql://owner:hunter2hunter2@127.0.0.1/db",
    "a password in a conninfo": "host=x password='hunter2hunter2' dbname=y",
    "a bearer token": "Authorization: Bearer hunter2hunter2",
    "a JSON Web Token": TOKEN,
    "a personal token": "ldb_hunter2hunter2",
}


@pytest.fixture(autouse=True)
def known():
    hide_values(KNOWN)


def line(**more):
    """A line of the log, as it is written."""
    error = ValueError(more.pop("raised", "nothing"))
    info = (type(error), error, None)
    record = logging.makeLogRecord({"msg": more.pop("said", "x"), "levelname": "INFO", "exc_info": info, **more})
    text = JsonLines("test").format(record)
    assert json.loads(text)["service"] == "test"
    return text


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("place", ["said", "raised", "field", "list", "dict", "key", "deep", "object"])
def test_no_line_of_the_log_holds_a_secret(secret, place):
    text = f"before {SECRETS[secret]} behind"
    nested = {
        "field": text,
        "list": [text],
        "dict": {"x": text},
        "key": {text: "x"},
        "deep": [{"x": ({"y": [text]},)}],
        "object": ValueError(text),
    }
    written = line(**({place: text} if place in ("said", "raised") else {"extra_field": nested[place]}))
    for hidden in ("hunter2", KNOWN, TOKEN):
        assert hidden not in written, f"No line of the log holds a secret: {secret} in {place}"
    assert "before" in written, "the rest is there"


@pytest.mark.parametrize("secret", SECRETS)
def test_a_text_without_a_secret_stays_as_it_is(secret):
    assert scrub("job finished in 5 s") == "job finished in 5 s"
    assert scrub(f"a {SECRETS[secret]} b").startswith("a ")


def test_numbers_and_truths_of_a_line_stay_what_they_are():
    written = json.loads(line(count=5, good=True, none=None, listed=[1, {"a": 2.5}]))
    assert (written["count"], written["good"], written["none"], written["listed"]) == (5, True, None, [1, {"a": 2.5}])


FORGERY = "x\r2026-01-01 FATAL: forged\n{}\x1b[2J\u2028\x85"


@pytest.mark.parametrize("place", ["said", "raised", "extra_field"])
def test_whatever_somebody_sends_is_one_line_of_the_log_and_rules_no_terminal(place):
    written = line(**{place: FORGERY})
    assert len(written.splitlines()) == 1
    assert written.isprintable()


def records(share, number, **more):
    made = (logging.makeLogRecord({"msg": "x", "levelno": logging.INFO, **more}) for _ in range(number))
    return [record for record in made if share.filter(record)]


def test_a_project_that_is_asked_without_end_pushes_no_other_line_out_of_the_log():
    now = [0.0]
    share = ProjectShare(most=10, seconds=60, clock=lambda: now[0])
    assert len(records(share, 1000, project_id="proj_a")) == 10
    assert len(records(share, 5, project_id="proj_b")) == 5, "another project has a share of its own"
    assert len(records(share, 100)) == 100, "what is about no project is not counted"
    warnings = records(share, 100, project_id="proj_a", levelno=logging.WARNING)
    assert len(warnings) == 10, "warnings are not pushed out by the rest"
    now[0] = 61.0
    [first, second] = records(share, 2, project_id="proj_a")
    assert (first.lines_left_out, hasattr(second, "lines_left_out")) == (990, False)

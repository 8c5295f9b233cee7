"""What a log line, an event or an error says holds no secret, wherever in it one stands."""

from __future__ import annotations

import json
import logging

import pytest

from config.logging import JsonLines, hide_values, scrub

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

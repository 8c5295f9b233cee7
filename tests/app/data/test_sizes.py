"""What a request may make of the process that serves many: so many bytes of answer, so deep a JSON, and no more."""

from __future__ import annotations

import json
import re
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.data.config import from_values
from app.data.parse.body import DEPTH_MAX, nesting_depth
from app.data.parse.request import RawRequest
from app.data.run.connections import Budget
from app.data.run.instance import Instance
from tests.app.data.conftest import standalone
from tests.app.data.harm import ask

MOST = 100_000
FUNCTIONS = """
CREATE TABLE IF NOT EXISTS kept (id int PRIMARY KEY, word text);
CREATE OR REPLACE FUNCTION big(n int) RETURNS text LANGUAGE sql STABLE AS $$SELECT repeat('x', n)$$;
CREATE OR REPLACE FUNCTION shouts(n int) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION '%', repeat('x', n); END$$;
CREATE OR REPLACE FUNCTION warns(n int) RETURNS text LANGUAGE plpgsql AS
    $$BEGIN FOR i IN 1..n LOOP RAISE WARNING '%', repeat('x', 1000000); END LOOP; RETURN 'done'; END$$;
CREATE OR REPLACE FUNCTION shouts_besides(n int) RETURNS text LANGUAGE plpgsql AS
    $$BEGIN RAISE EXCEPTION 'no' USING DETAIL = repeat('x', n / 2), HINT = repeat('y', n / 2); END$$;
CREATE OR REPLACE FUNCTION warns_largely(n int) RETURNS text LANGUAGE plpgsql AS
    $$BEGIN RAISE WARNING '%', repeat('x', n); RETURN 'done'; END$$;
CREATE OR REPLACE FUNCTION heads(n int) RETURNS text LANGUAGE plpgsql AS
    $$BEGIN PERFORM set_config('response.headers', repeat('x', n), true); RETURN 'done'; END$$;
"""
TOO_LARGE = {
    "code": "54000",
    "message": "The answer is larger than allowed",
    "details": None,
    "hint": "Ask for fewer rows or columns; the limit is launchdb-answer-bytes-max.",
}


@pytest.fixture(scope="module")
def api(tenant):
    """A data API of a project that sends no large answers."""
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute(FUNCTIONS)
    read = {
        "db-uri": tenant.uri(tenant.roles.authenticator),
        "db-anon-role": tenant.roles.anon,
        "launchdb-answer-bytes-max": str(MOST),
    }
    with closing(Instance(from_values(read), Budget(5))) as instance:
        yield instance


def refused(answer):
    return (answer[0], json.loads(answer[1])) == (400, TOO_LARGE)


def test_an_answer_has_so_many_bytes_and_no_more(api):
    for _ in range(7):
        status, body = ask(api, "GET", f"/rpc/big?n={MOST - 10}")
        assert (status, len(body)) == (200, MOST - 8)
        assert refused(ask(api, "GET", f"/rpc/big?n={MOST + 1}"))
    assert refused(ask(api, "POST", "/rpc/big", {"n": MOST + 1}))
    assert refused(ask(api, "GET", f"/rpc/big?n={MOST + 1}", None, {"accept": "text/csv"}))
    assert refused(ask(api, "GET", f"/rpc/big?n={MOST + 1}", None, {"accept": "application/vnd.pgrst.object+json"}))
    assert ask(api, "HEAD", f"/rpc/big?n={MOST + 1}")[0] == 200


def test_a_write_whose_answer_would_be_too_large_writes_nothing(api):
    rows = [{"id": number, "word": "x" * 1000} for number in range(150)]
    wrote = {"prefer": "return=representation"}
    assert refused(ask(api, "POST", "/kept", rows, wrote))
    assert ask(api, "GET", "/kept?select=id") == (200, "[]")
    assert ask(api, "POST", "/kept", rows)[0] == 201
    assert refused(ask(api, "GET", "/kept"))
    assert refused(ask(api, "PATCH", "/kept?id=gt.0", {"word": "y" * 1000}, wrote))
    assert refused(ask(api, "DELETE", "/kept?id=gt.-1", None, wrote))
    assert len(json.loads(ask(api, "GET", "/kept?select=id&word=like.x*")[1])) == 150


def test_what_a_function_says_besides_is_bounded_as_well(api):
    assert refused(ask(api, "POST", "/rpc/shouts", {"n": 4_000_000}))
    assert api.pool.opened == 0
    assert ask(api, "POST", "/rpc/shouts", {"n": 1000})[0] == 400
    assert refused(ask(api, "POST", "/rpc/warns", {"n": 20}))
    status, body = ask(api, "POST", "/rpc/heads", {"n": 4_000_000})
    assert (status, json.loads(body)["code"]) == (500, "PGRST111")
    assert ask(api, "GET", "/rpc/big?n=1") == (200, '"x"')


def test_a_connection_that_took_a_large_answer_is_not_kept(tenant, api):
    """Its buffer would stay as large for as long as it lives."""
    read = {"db-uri": api.config.db_uri, "db-anon-role": tenant.roles.anon}
    with closing(Instance(from_values(read), Budget(5))) as instance:
        assert len(ask(instance, "GET", "/rpc/big?n=20000000")[1]) == 20_000_002
        assert instance.pool.opened == 0
        assert ask(instance, "GET", "/rpc/big?n=1") == (200, '"x"')
        assert instance.pool.opened == 1


@pytest.mark.parametrize("said", ["big", "shouts", "shouts_besides", "warns_largely"])
def test_the_process_that_serves_all_does_not_grow_with_what_is_refused(project, tmp_path, said):
    """As much as a limit is read of a value, of an error's message and details and of a warning; not all, to be cut then."""
    project.admin.execute(FUNCTIONS)
    with standalone(project, tmp_path) as server:
        post = {"Content_Type": "application/json"}
        assert server.ask("POST", "/rpc/big", body={"n": 1}, **post)[0] == 200
        before = peak_bytes(server.process.pid)
        status, _, _, body = server.ask("POST", f"/rpc/{said}", body={"n": 60_000_000}, **post)
        assert (status, json.loads(body)) == (400, TOO_LARGE)
        grown = peak_bytes(server.process.pid) - before
        assert grown < 40_000_000, f"the process has grown by {grown} bytes"


def peak_bytes(pid):
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024


def counted(text):
    """Return how deep a text is, character by character."""
    level = deepest = 0
    quoted = escaped = False
    for character in text:
        if quoted:
            quoted = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            quoted = True
        elif character in "[{":
            level += 1
            deepest = max(deepest, level)
        elif character in "]}":
            level -= 1
    return deepest


@settings(max_examples=300, deadline=None, derandomize=True)
@given(text=st.text(alphabet='[]{}"\\a,é\n', max_size=60), lead=st.integers(0, 2))
def test_the_depth_of_a_text_is_that_of_its_brackets_outside_strings(text, lead):
    whole = "[" * 51 * lead + "[]" * 101 + text
    assert nesting_depth(whole) == counted(whole)


@pytest.mark.parametrize("raw", ["[" * 9_000_000, '{"a":' * 1_500_000, '["' + '\\"[' * 3_000_000, "[]," * 3_000_000])
def test_brackets_by_the_million_are_no_body(api, raw):
    status, body = ask_raw(api, raw)
    assert (status, json.loads(body)["code"]) == (400, "PGRST102")


def test_a_json_as_deep_as_is_allowed_is_taken_and_a_deeper_one_is_not():
    for many in (1, 200):
        assert nesting_depth(",".join(["[" * DEPTH_MAX + "]" * DEPTH_MAX] * many)) in (0, DEPTH_MAX)
    assert nesting_depth("[" * (DEPTH_MAX + 1)) == DEPTH_MAX + 1


def ask_raw(api, raw):
    answer = api.answer(RawRequest("POST", "/kept", "", {"content-type": "application/json"}, raw.encode()))
    return answer.status, answer.body


@pytest.mark.timing
@pytest.mark.parametrize("raw", ["[" * 9_000_000, "[]," * 3_000_000, '["' + '\\"[' * 3_000_000])
def test_the_depth_of_a_large_text_is_told_in_the_time_of_reading_it(raw):
    began = time.process_time()
    nesting_depth(raw)
    assert time.process_time() - began < 3

"""What functions say of an answer: whatever it is, clients get a whole answer, and the next request another."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FUNCTIONS = """
CREATE FUNCTION say(m text, d text) RETURNS void LANGUAGE plpgsql AS
    $$BEGIN RAISE SQLSTATE 'PGRST' USING message = m, detail = d; END$$;
CREATE FUNCTION cry(s text, m text) RETURNS void LANGUAGE plpgsql AS
    $$BEGIN RAISE USING errcode = s, message = m; END$$;
CREATE FUNCTION tell(h text, s text) RETURNS int LANGUAGE plpgsql AS $$BEGIN
    IF h IS NOT NULL THEN PERFORM set_config('response.headers', h, true); END IF;
    IF s IS NOT NULL THEN PERFORM set_config('response.status', s, true); END IF;
    RETURN 7; END$$;
"""
MESSAGE = json.dumps({"code": "123", "message": "ABC", "details": "DEF", "hint": "XYZ"})
FRAMING = {"content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer"}


@pytest.fixture(scope="module")
def functions(server):
    server.project.admin.execute(FUNCTIONS)
    return server


@pytest.fixture
def connection(functions):
    """One connection for all requests of a test: what breaks it fails the test."""
    made = functions.connect()
    yield made
    made.close()


def raised(server, connection, message, detail):
    status, reason, headers, body = server.ask(
        "POST", "/rpc/say", connection=connection, body={"m": message, "d": detail}, Content_Type="application/json"
    )
    return status, reason, headers, json.loads(body)


def told(server, connection, headers=None, status=None):
    return server.ask(
        "POST", "/rpc/tell", connection=connection, body={"h": headers, "s": status}, Content_Type="application/json"
    )


def test_a_function_chooses_status_phrase_headers_and_body(functions, connection):
    detail = json.dumps(
        {"status": 419, "status_text": "Page Expired", "headers": {"X-Why": "café €", "Retry-After": "9"}}
    )
    status, reason, headers, body = raised(functions, connection, MESSAGE, detail)
    assert (status, reason) == (419, "Page Expired")
    assert headers["X-Why"].encode("latin-1").decode() == "café €"
    assert (headers["Retry-After"], headers["Proxy-Status"]) == ("9", "PostgREST; error=123")
    assert body == {"code": "123", "message": "ABC", "details": "DEF", "hint": "XYZ"}
    detail = json.dumps({"status": 404.0, "headers": {}})
    assert raised(functions, connection, MESSAGE, detail)[:2] == (404, "Not Found")
    detail = json.dumps({"status": 332, "headers": {}})
    assert raised(functions, connection, MESSAGE, detail)[:2] == (332, "")


@pytest.mark.parametrize(
    "detail",
    [
        '{"status": 402, "headers": {"a\\r\\nSet-Cookie": "b"}}',
        '{"status": 402, "headers": {"X-A": "b\\r\\nSet-Cookie: c"}}',
        '{"status": 402, "headers": {"X-A": "b\\nc"}}',
        '{"status": 402, "headers": {"X-\\u0416": "b"}}',
        '{"status": 402, "headers": {"": "b"}}',
        '{"status": 402, "headers": {"a b": "c"}}',
        '{"status": 402, "headers": {"a": 1}}',
        '{"status": 402, "headers": {"a": "\\ud800"}}',
        '{"status": 402, "headers": ["a"]}',
        json.dumps({"status": 402, "headers": {"X-Long": "a" * 20_000}}),
        json.dumps({"status": 402, "headers": {f"X-{number}": "a" for number in range(101)}}),
        '{"status": 402, "headers": {}, "status_text": "a\\r\\nSet-Cookie: b"}',
        '{"status": 402, "headers": {}, "status_text": 7}',
        *(f'{{"status": {status}, "headers": {{}}}}' for status in ("1e400", 1, 99, 100, 101, 199, 600, 99999, -1)),
        *(f'{{"status": {status}, "headers": {{}}}}' for status in ("true", '"402"', "null", "NaN", "402.5", "[]")),
        '{"status": ' + "9" * 5000 + ', "headers": {}}',
        '{"status": 402}',
        '{"headers": {}}',
        "[" * 50_000,
        '{"a":' * 5000 + "1" + "}" * 5000,
        "[]",
        "INVALID",
        "",
    ],
    ids=lambda detail: detail[:40],
)
def test_what_can_be_no_answer_is_a_clear_fault(functions, connection, detail):
    status, reason, headers, body = raised(functions, connection, MESSAGE, detail)
    assert (status, reason, body["code"]) == (500, "Internal Server Error", "PGRST121")
    assert body["message"] == "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error"
    assert body["details"].startswith("Invalid JSON value for DETAIL")
    assert body["hint"]
    assert "Set-Cookie" not in headers
    assert functions.ask("GET", "/authors?id=eq.1", connection=connection)[0] == 200


@pytest.mark.parametrize("message", ["", "INVALID", "[]", '{"code": "1"}', '{"code": 1, "message": "a"}', "[" * 50_000])
def test_a_message_that_says_nothing_is_a_clear_fault(functions, connection, message):
    status, _, _, body = raised(functions, connection, message, '{"status": 402, "headers": {}}')
    assert (status, body["code"]) == (500, "PGRST121")
    assert body["details"].startswith("Invalid JSON value for MESSAGE")


@pytest.mark.parametrize(
    ("state", "message", "line"),
    [
        ("PT402", "Payment Required", (402, "Payment Required")),
        ("PT402", "pay € now", (402, "pay € now")),
        ("PT503", "Closed", (503, "Closed")),
        ("PT401", "a\r\nSet-Cookie: b", (401, "Unauthorized")),
        ("PT404", "x" * 5000, (404, "Not Found")),
        ("PT101", "no", (500, "Internal Server Error")),
        ("PT999", "no", (500, "Internal Server Error")),
        ("PTABC", "no", (500, "Internal Server Error")),
    ],
)
def test_a_status_may_be_raised_by_its_number_with_a_phrase(functions, connection, state, message, line):
    sent = {"s": state, "m": message}
    asked = functions.ask("POST", "/rpc/cry", connection=connection, body=sent, Content_Type="application/json")
    assert (asked[0], asked[1].encode("latin-1").decode()) == line
    assert "Set-Cookie" not in asked[2]
    assert json.loads(asked[3]) == {"code": state, "message": message, "details": None, "hint": None}


def test_any_code_may_be_raised_and_begins_no_header(functions, connection):
    message = json.dumps({"code": "a\r\nSet-Cookie: b", "message": "Ж\x01"})
    status, _, headers, body = raised(functions, connection, message, '{"status": 402, "headers": {}}')
    assert (status, body["code"], body["message"]) == (402, "a\r\nSet-Cookie: b", "Ж\x01")
    assert "Set-Cookie" not in headers
    assert "Proxy-Status" not in headers


@pytest.mark.parametrize(
    "given",
    [
        '[{"a\\r\\nSet-Cookie": "b"}]',
        '[{"X-A": "b\\r\\nSet-Cookie: c"}]',
        '[{"X-\\u0416": "b"}]',
        '[{"a b": "c"}]',
        '[{"a": 1}]',
        '[{"a": "b", "c": "d"}]',
        '{"a": "b"}',
        "[7]",
        "[" * 50_000,
        json.dumps([{"X-Long": "a" * 20_000}]),
    ],
    ids=lambda given: given[:40],
)
def test_headers_that_are_none_are_a_clear_fault(functions, connection, given):
    status, _, headers, body = told(functions, connection, given)
    assert (status, json.loads(body)["code"]) == (500, "PGRST111")
    assert "Set-Cookie" not in headers


@pytest.mark.parametrize("given", ["1", "100", "101", "199", "600", "99999", "-1", "1e2", "２００", "abc", " 200"])
def test_a_status_that_is_none_is_a_clear_fault(functions, connection, given):
    status, _, _, body = told(functions, connection, None, given)
    assert (status, json.loads(body)["code"]) == (500, "PGRST112")


def test_headers_of_a_function_never_say_where_the_answer_ends(functions, connection):
    given = [{"Content-Length": "1"}, {"Transfer-Encoding": "chunked"}, {"Connection": "close"}, {"X-Kept": "ж"}]
    for status in (None, "204", "304", "404"):
        answered, _, headers, body = told(functions, connection, json.dumps(given), status)
        assert answered == int(status or 200)
        assert body == (b"" if status in ("204", "304") else b"7")
        assert headers["X-Kept"].encode("latin-1").decode() == "ж"
        assert functions.ask("GET", "/authors?id=eq.1", connection=connection)[0] == 200


STATUSES = st.one_of(st.integers(-10, 700), st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=5))
TEXTS = st.one_of(st.text(max_size=20), st.sampled_from(["a\r\nb", "\x00", "\x7f", "Ж", "X-A", "Content-Length", "é"]))
VALUES = st.recursive(
    st.one_of(TEXTS, STATUSES), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
)
HEADERS = st.one_of(st.dictionaries(TEXTS, TEXTS, max_size=4), VALUES)
DETAILS = st.one_of(
    st.fixed_dictionaries({"status": st.just(402), "headers": st.dictionaries(TEXTS, TEXTS, max_size=3)}).map(
        json.dumps
    ),
    st.fixed_dictionaries(
        {"status": STATUSES, "headers": HEADERS}, optional={"status_text": VALUES, "more": VALUES}
    ).map(json.dumps),
    VALUES.map(json.dumps),
    st.text(max_size=30),
)
MESSAGES = st.one_of(
    st.fixed_dictionaries({"code": TEXTS, "message": TEXTS}, optional={"details": VALUES, "hint": VALUES}).map(
        json.dumps
    ),
    st.just(MESSAGE),
    st.text(max_size=30),
)
TOLD = st.one_of(st.lists(st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=2), max_size=4).map(json.dumps), DETAILS)
MIXED = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}
SETTLED = settings(max_examples=80, derandomize=True, **MIXED)
CAMPAIGN = settings(max_examples=3000, **MIXED)
RAISED = given(message=MESSAGES, detail=DETAILS)
TOLD_SO = given(headers=st.none() | TOLD, status=st.none() | st.integers(-5, 700).map(str) | st.text(max_size=4))


def storable(text):
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def judge(answer):
    """A whole answer, which is what the function may say or a fault that says what is wrong with it."""
    status, _, headers, body = answer
    assert 200 <= status <= 599
    names = [name.lower() for name in headers]
    assert all(names.count(name) <= 1 for name in FRAMING)
    assert "set-cookie" not in names
    assert b"XX000" not in body
    assert status in (204, 304) or json.loads(body) is not None


def raises(server, connection, message, detail):
    sent = {"m": storable(message), "d": storable(detail)}
    answer = server.ask("POST", "/rpc/say", connection=connection, body=sent, Content_Type="application/json")
    judge(answer)
    assert {"code", "message", "details", "hint"} == set(json.loads(answer[3])) or answer[0] in (204, 304)
    assert server.ask("GET", "/authors?id=eq.1", connection=connection)[0] == 200


def tells(server, connection, headers, status):
    sent = {"h": headers and storable(headers), "s": status and storable(status)}
    judge(server.ask("POST", "/rpc/tell", connection=connection, body=sent, Content_Type="application/json"))
    assert server.ask("GET", "/authors?id=eq.1", connection=connection)[0] == 200


@SETTLED
@RAISED
def test_whatever_is_raised_the_answer_is_whole(functions, connection, message, detail):
    raises(functions, connection, message, detail)


@SETTLED
@TOLD_SO
def test_whatever_is_set_the_answer_is_whole(functions, connection, headers, status):
    tells(functions, connection, headers, status)


@pytest.mark.full
@CAMPAIGN
@RAISED
def test_whatever_is_raised_of_thousands_the_answer_is_whole(functions, connection, message, detail):
    raises(functions, connection, message, detail)


@pytest.mark.full
@CAMPAIGN
@TOLD_SO
def test_whatever_is_set_of_thousands_the_answer_is_whole(functions, connection, headers, status):
    tells(functions, connection, headers, status)

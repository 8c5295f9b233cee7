"""What a project sends from the platform's address cannot act there: nothing runs, nothing is set, nobody is asked."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import closing

import pytest

from tests.app.data.conftest import standalone

FUNCTIONS = """
CREATE FUNCTION sends(h text) RETURNS text LANGUAGE plpgsql AS
    $$BEGIN PERFORM set_config('response.headers', h, true); RETURN '<script>alert(1)</script>'; END$$;
CREATE FUNCTION refuses(d text) RETURNS text LANGUAGE plpgsql AS
    $$BEGIN RAISE SQLSTATE 'PGRST' USING message = '{"code": "1", "message": "<script>alert(1)</script>"}', detail = d; END$$;
"""
ACTIVE = [
    "text/html", "TEXT/HTML; charset=utf-8", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/rss+xml",
    "text/javascript", "application/x-javascript", "text/javascript1.5", "text/css", "text/xsl",
    "multipart/x-mixed-replace; boundary=x", "text/plain, text/html", "text/html ;", "text/ecmascript",
]  # fmt: skip
QUIET = [
    "application/json", "text/csv", "image/png", "application/pdf", "application/geo+json",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
]  # fmt: skip
ORDERS = {
    "Set-Cookie": "session=stolen; Path=/",
    "Clear-Site-Data": '"cookies"',
    "Service-Worker-Allowed": "/",
    "Strict-Transport-Security": "max-age=0",
    "Refresh": "0; url=https://elsewhere.example",
    "Alt-Svc": 'h2="elsewhere.example:443"',
    "NEL": "{}",
    "WWW-Authenticate": 'Basic realm="the dashboard"',
}


@pytest.fixture(scope="module")
def served(project):
    project.admin.execute(FUNCTIONS)
    return project


def both(project):
    """Return both ways to a project below the platform's address."""
    key = {"apikey": project.key("service_role")}
    return (
        lambda path, body: project.call("POST", path, body=body),
        lambda path, body: project.client.post(f"/project/{project.id}/rest/v1{path}", json=body, headers=key),
    )


def is_isolated(headers):
    return (
        headers["X-Content-Type-Options"] == "nosniff"
        and "sandbox" in headers["Content-Security-Policy"].split(";")[0]
        and "allow-" not in headers["Content-Security-Policy"]
    )


@pytest.mark.parametrize("kind", ACTIVE)
def test_what_a_browser_would_run_is_sent_as_plain_text(served, kind):
    for ask in both(served):
        for given in ([{"Content-Type": kind}], [{"content-type": kind}, {"Content-Type": "text/csv"}]):
            answer = ask("/rpc/sends", {"h": json.dumps(given)})
            assert answer.headers.getlist("Content-Type") == ["text/plain; charset=utf-8"]
            assert is_isolated(answer.headers)
        detail = json.dumps({"status": 402, "headers": {"content-type": kind}})
        answer = ask("/rpc/refuses", {"d": detail})
        assert (answer.status_code, answer.headers.getlist("Content-Type")) == (402, ["text/plain; charset=utf-8"])
        assert is_isolated(answer.headers)


@pytest.mark.parametrize("kind", QUIET)
def test_what_no_browser_runs_keeps_its_type(served, kind):
    for ask in both(served):
        answer = ask("/rpc/sends", {"h": json.dumps([{"Content-Type": kind}])})
        assert answer.headers["Content-Type"] == kind
        assert is_isolated(answer.headers)


def test_nothing_is_set_for_the_platforms_address(served):
    given = [{name: value} for name, value in ORDERS.items()] + [
        {"Content-Security-Policy": "sandbox allow-scripts allow-same-origin"},
        {"X-Kept": "yes"},
    ]
    for ask in both(served):
        answer = ask("/rpc/sends", {"h": json.dumps(given)})
        assert [name for name in ORDERS if name in answer.headers] == []
        assert (is_isolated(answer.headers), answer.headers["X-Kept"]) == (True, "yes")
        detail = json.dumps({"status": 401, "headers": {**ORDERS, "X-Kept": "yes"}})
        answer = ask("/rpc/refuses", {"d": detail})
        assert [name for name in ORDERS if name in answer.headers] == []
        assert (is_isolated(answer.headers), answer.headers["X-Kept"]) == (True, "yes")


def test_rows_are_isolated_as_well(served):
    answer = served.get("/books?id=eq.1")
    assert (answer.headers["Content-Type"], is_isolated(answer.headers)) == ("application/json; charset=utf-8", True)


def test_behind_the_edge_it_is_the_same(served, tmp_path):
    place = tmp_path / "s"
    with standalone(served, tmp_path, **{"server-unix-socket": str(place), "launchdb-gateway": "true"}):
        client = http.client.HTTPConnection("localhost", timeout=10)
        with closing(client):
            client.sock = socket.socket(socket.AF_UNIX)
            client.sock.connect(str(place))
            headers = {
                "X-Launchdb-Prefix": "/db/x",
                "Authorization": f"Bearer {served.key('service_role')}",
                "Content-Type": "application/json",
            }
            body = json.dumps({"h": json.dumps([{"Content-Type": "text/html"}, {"Set-Cookie": "a=b"}])})
            client.request("POST", "/rpc/sends", body, headers)
            answer = client.getresponse()
            assert (answer.headers["Content-Type"], answer.headers["Set-Cookie"]) == ("text/plain; charset=utf-8", None)
            assert is_isolated(answer.headers)


def test_a_data_api_with_an_address_of_its_own_sends_what_its_functions_say(served, tmp_path):
    given = json.dumps([{"Content-Type": "text/html"}, {"Set-Cookie": "a=b"}])
    with standalone(served, tmp_path) as alone:
        _, _, headers, body = alone.ask("POST", "/rpc/sends", body={"h": given}, Content_Type="application/json")
    assert (headers["Content-Type"], headers["Set-Cookie"]) == ("text/html", "a=b")
    assert b"script" in body

"""The access log: who asked for what, and no secret of theirs."""

from __future__ import annotations

import secrets
import time

from tests.fixtures.servers import wait_until

HIDDEN = (
    "apikey", "ApiKey", "token", "access_token", "refresh_token", "token_hash", "code", "%61pikey", "X-Amz-Signature",
    "X-Amz-Security-Token",
)  # fmt: skip


def test_a_line_for_each_request_and_none_of_its_secrets(edge, project_socket):
    canary, mark = secrets.token_hex(12), secrets.token_hex(8)
    client = edge.client(headers={"apikey": canary, "Authorization": f"Bearer {canary}", "Cookie": f"sid={canary}"})
    base = f"/project/{project_socket}/rest/v1/{mark}"
    for query in HIDDEN:
        client.get(f"{base}?x=eq.1&{query}={canary}&y=eq.2")
    client.get(f"/project/{project_socket}/rest/v1/{mark}", headers={"X-Internal-Api-Key": canary})
    edge.socket(project_socket).unlink()
    client.post(f"{base}?apikey={canary}")
    wait_until(lambda: sum(mark in line for line in edge.log.read_text().splitlines()) == len(HIDDEN) + 2)
    lines = [line for line in edge.access_log() if mark in line["request"]["uri"]]
    assert {line["status"] for line in lines} == {200, 404}
    assert lines[0]["request"]["remote_ip"] == "127.0.0.1"
    assert lines[0]["request"]["uri"] == f"{base}?x=eq.1&apikey=REDACTED&y=eq.2"
    time.sleep(0.2)
    for said in (edge.log.read_text(), edge.said.read_text()):
        assert canary not in said


def test_an_error_of_the_proxy_itself_tells_no_secret_either(edge, project_socket):
    canary = secrets.token_hex(12)
    edge.socket(project_socket).unlink()
    edge.socket(project_socket).symlink_to("/dev/null")
    answer = edge.client().post(
        f"/db/{project_socket}/t?apikey={canary}", headers={"apikey": canary, "X-Other": canary}, content=canary
    )
    assert answer.status_code in (404, 503)
    time.sleep(0.2)
    for said in (edge.log.read_text(), edge.said.read_text()):
        assert canary not in said

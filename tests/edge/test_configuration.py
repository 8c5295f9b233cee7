"""Caddy's configuration: rendered, checked, loaded under traffic; certificates; what is broken changes nothing."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from app.platform.operations.edge_metrics import EdgeMetrics
from infra.edge import certificates
from infra.edge.proxy import CaddyProxy, Upstreams
from infra.errors import Refused, Unavailable
from jobs.loops.caddy_reconciler import CaddyReconciler
from tests.app.server import free_port
from tests.edge.conftest import DOMAIN, caddy, edge_settings
from tests.edge.witness import witness


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """Caddy with its own authority, before three witnesses."""
    import tempfile
    from pathlib import Path

    home = Path(tempfile.mkdtemp(prefix="ldbt-"))
    settings = edge_settings(home, LAUNCHDB_TLS="internal", ACME_EMAIL="admin@launchdb.test")
    ports = [free_port() for _ in range(3)]
    with ExitStack() as stack:
        for port, who in zip(ports, ("platform", "auth", "storage"), strict=True):
            stack.enter_context(witness(port, who))
        upstreams = Upstreams(*(f"127.0.0.1:{port}" for port in ports))
        yield stack.enter_context(caddy(CaddyProxy(settings, upstreams), settings, stack, upstreams))
    shutil.rmtree(home)


def test_tls_is_shown_to_who_asks_for_our_name_and_kept_by_browsers(secured):
    client = secured.client()
    answer = client.get("/")
    assert answer.text == "LaunchDB - API running."
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    told = client.get(
        "/api/x", headers={"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "http", "X-Real-IP": "9.9.9.9"}
    )
    headers = told.json()["headers"]
    assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("127.0.0.1", "https")
    assert "9.9.9.9" not in told.text
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"https://127.0.0.1:{secured.port}/")


def test_http_leads_to_https_of_our_name_and_of_no_other(secured):
    plain = secured.settings.http_port
    answer = httpx.get(f"http://127.0.0.1:{plain}/a?b=1", headers={"Host": DOMAIN})
    assert (answer.status_code, answer.headers["Location"]) == (308, f"https://{DOMAIN}:{secured.port}/a?b=1")
    other = httpx.get(f"http://127.0.0.1:{plain}/a", headers={"Host": "evil.example"})
    assert other.status_code == 404
    assert "Location" not in other.headers
    client = secured.client(headers={"Host": "evil.example"})
    assert client.get("/").status_code == 404


def test_a_certificate_is_told_by_issuer_name_and_end(secured):
    found = certificates.fetch_certificate("127.0.0.1", secured.port, DOMAIN)
    assert "Caddy Local Authority" in found.issuer
    assert found.is_for(DOMAIN)
    assert not found.is_for("other.test")
    assert 0 < found.seconds_left < 90 * 86400
    assert found.trusted is False
    with pytest.raises(Unavailable):
        certificates.fetch_certificate("127.0.0.1", free_port(), DOMAIN)


def test_a_public_certificate_is_asked_for_by_its_name_and_mail(secured, tmp_path):
    settings = edge_settings(tmp_path, LAUNCHDB_TLS="auto", ACME_EMAIL="admin@launchdb.test")
    understood = secured.proxy.check(CaddyProxy(settings).text())
    assert "admin@launchdb.test" in str(understood)
    assert "internal" not in str(understood["apps"]["tls"])
    assert "platform-api:8000" in str(understood)
    tunnel = secured.proxy.check(CaddyProxy(edge_settings(tmp_path, LAUNCHDB_TLS="off", DOMAIN="")).text())
    assert "tls" not in tunnel["apps"]


@pytest.mark.parametrize(
    "faulty", [{"DOMAIN": ""}, {"DOMAIN": "a b"}, {"DOMAIN": "a.test {"}, {"ACME_EMAIL": "a\nb@c"}]
)
def test_settings_that_would_be_another_configuration_are_refused(tmp_path, faulty):
    with pytest.raises(Refused):
        CaddyProxy(edge_settings(tmp_path, LAUNCHDB_TLS="auto", **faulty)).text()


def test_what_caddy_refuses_changes_nothing(secured):
    proxy = secured.proxy
    text, serving = proxy.file.read_text(), proxy.served()
    with pytest.raises(Refused, match="Caddy refuses the configuration"):
        proxy.check(text.replace("reverse_proxy", "reverse_prxy"))
    taken = int(secured.ports.auth.rpartition(":")[2])
    with pytest.raises(Refused, match="address already in use"):
        CaddyProxy(secured.settings.model_copy(update={"https_port": taken}), secured.ports).apply()
    assert (proxy.file.read_text(), proxy.served()) == (text, serving)
    assert secured.client().get("/").status_code == 200


def test_a_changed_file_is_loaded_once_kept_and_put_back(secured):
    proxy, settings = secured.proxy, secured.settings
    assert proxy.apply() is False
    changed = CaddyProxy(settings.model_copy(update={"max_body_bytes": 4096}), secured.ports)
    before = proxy.file.read_text()
    assert changed.apply() is True
    assert changed.apply() is False
    assert [path.read_text() for path in proxy.kept()[:2]] == [changed.file.read_text(), before]
    proxy.file.write_text("somebody was here")
    assert proxy.apply() is True
    assert proxy.file.read_text() == before
    assert proxy.kept()[0].read_text() == before
    assert not any("somebody" in path.read_text() for path in proxy.kept()), "what Caddy never took is no copy"
    for number in range(7):
        CaddyProxy(settings.model_copy(update={"max_body_bytes": 5000 + number}), secured.ports).apply()
    assert len(proxy.kept()) == 5
    assert proxy.apply() is True
    assert {path.stat().st_mode & 0o077 for path in (proxy.file, *proxy.kept())} == {0}


def slowly():
    for _ in range(20):
        time.sleep(0.15)
        yield b"x" * 1024


def test_a_reload_cuts_no_request_off(secured):
    """A connection that rests between two requests may be closed, which HTTP/1.1 clients expect at any time."""
    proxy, stop, wrong, answered = secured.proxy, threading.Event(), [], []

    def ask_on(client):
        while not stop.is_set():
            try:
                try:
                    answer = client.get("/api/x")
                except httpx.RemoteProtocolError:
                    answer = client.get("/api/x")
                (answered if answer.status_code == 200 else wrong).append(answer.status_code)
            except httpx.HTTPError as error:
                wrong.append(repr(error))

    with ThreadPoolExecutor(5) as pool:
        asking = [pool.submit(ask_on, secured.client()) for _ in range(4)]
        slow = pool.submit(secured.client().post, "/api/slow", content=slowly())
        for number in range(3):
            CaddyProxy(secured.settings.model_copy(update={"max_body_bytes": 9000 + number}), secured.ports).apply()
            time.sleep(0.3)
        proxy.apply()
        stop.set()
        for each in asking:
            each.result()
        assert slow.result().json()["bytes"] == 20 * 1024, "a request that spans all of them"
    assert wrong == []
    assert len(answered) > 50


def test_without_caddy_its_file_is_written_and_loading_says_that_it_is_away(tmp_path):
    proxy = CaddyProxy(edge_settings(tmp_path, LAUNCHDB_TLS="internal"))
    assert (proxy.write(), proxy.write()) == (True, False)
    with pytest.raises(Unavailable, match="Caddy does not answer"):
        proxy.apply()


def test_the_doorkeeper_puts_back_what_was_loaded_by_hand(secured):
    doorkeeper = CaddyReconciler(secured.proxy)
    assert doorkeeper.run_once() == 0
    other = CaddyProxy(secured.settings.model_copy(update={"max_body_bytes": 77_777_777}), secured.ports)
    assert other.apply() is True
    assert doorkeeper.run_once() == 1
    assert "77777777" not in secured.proxy.file.read_text()
    away = CaddyProxy(secured.settings.model_copy(update={"home": secured.settings.home / "none"}), secured.ports)
    assert CaddyReconciler(away).run_once() == 0


def test_the_end_of_the_certificate_is_a_metric_while_there_is_one(secured):
    shown = CaddyProxy(secured.settings, secured.ports, address="127.0.0.1")
    (metric,) = EdgeMetrics(shown).collect()
    assert metric.name == "launchdb_certificate_expiry_seconds"
    assert 0 < metric.samples[0].value < 90 * 86400
    assert list(EdgeMetrics(CaddyProxy(secured.settings.model_copy(update={"tls": "off"}))).collect()) == []
    gone = secured.settings.model_copy(update={"https_port": free_port()})
    assert list(EdgeMetrics(CaddyProxy(gone, address="127.0.0.1")).collect()) == []


def test_requests_are_held_while_a_service_is_restarted(secured):
    """A request of each kind begins while nobody listens; each is answered once, by the one that comes."""
    with ExitStack() as stack:
        gone = free_port()
        ports = Upstreams(f"127.0.0.1:{gone}", secured.ports.auth, secured.ports.storage_service)
        stack.callback(secured.proxy.apply)
        CaddyProxy(secured.settings, ports).apply()
        client = secured.client()
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(client.request, method, "/api/x", content=body) for method, body in (
                ("GET", None), ("POST", b"x" * 100_000), ("DELETE", None), ("PATCH", b"y"),
            )]  # fmt: skip
            time.sleep(1.0)
            stack.enter_context(witness(gone, "again"))
            told = [each.result().json() for each in asked]
    assert {each["who"] for each in told} == {"again"}
    assert [each["bytes"] for each in told] == [0, 100_000, 0, 1]


def test_the_administration_is_a_socket_that_answers_to_its_own_name_alone(secured):
    for host in ("", "localhost", DOMAIN, "127.0.0.1"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(secured.proxy.socket))
            connection.sendall(f"GET /config/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            assert b" 403 " in connection.recv(65536).partition(b"\r\n")[0] + b" "
    assert secured.proxy.socket.parent.stat().st_mode & 0o077 == 0

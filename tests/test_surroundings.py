"""The caller's environment: our settings count, and nothing that libraries and programs would heed behind our back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from config import surroundings
from config.settings import CHECKOUT
from scripts.cli import target
from scripts.cli.errors import CliError
from tests.fixtures.hostile import HOSTILE, INTERPRETER, LIBPQ, PIP, PYTHON

OURS = {
    "LAUNCHDB_PORT": "8123",
    "SMTP_HOST": "mail.example",
    "PGRST_DB_URI": "postgresql:///x",
    "API_RATE_PER_MINUTE": "7",
}
FACTS = {"PATH": "/bin", "HOME": "/home/somebody", "DOCKER_HOST": "unix:///run/other.sock", "TMPDIR": "/var/tmp"}
# What libpq would do with the variable is seen in a session; the rest of what a child of ours would see is printed.
ENTERED = """
import os, resource, sys, json, time
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
from config import surroundings
surroundings.enter_own_environment()
old = os.umask(0o777)
print(json.dumps({"environment": dict(os.environ), "zone": time.tzname[0], "umask": old, "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0], "hard": hard, "given": surroundings.caller_environment()}))
"""
SESSION = """
import sys
from config import surroundings
surroundings.enter_own_environment()
import psycopg
with psycopg.connect(sys.argv[1]) as session:
    print([session.execute(f"SHOW {name}").fetchone()[0] for name in
        ("client_encoding", "datestyle", "timezone", "search_path", "default_transaction_read_only", "application_name")])
"""


def python(program: str, *words: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        env={"PATH": os.environ["PATH"], **environment},
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        umask=0o077,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_what_is_not_ours_is_not_handed_on(name):
    kept = surroundings.program_environment({**OURS, **FACTS, name: HOSTILE[name]})
    assert kept.get(name) != HOSTILE[name]
    assert {**OURS, **FACTS}.items() <= kept.items()


def test_a_process_that_has_entered_has_our_environment_clock_umask_and_open_files():
    told = {name: value for name, value in HOSTILE.items() if name not in {**INTERPRETER, "PYTHONINSPECT": ""}}
    said = json.loads(python(ENTERED, **told, **OURS))
    assert {name for name in told if said["environment"].get(name) == told[name]} == set()
    assert OURS.items() <= said["environment"].items()
    assert (said["zone"], said["umask"]) == ("UTC", 0o022)
    assert said["files"] == min(said["hard"], surroundings.DESCRIPTORS_MAX)
    assert told.items() <= said["given"].items(), "who becomes the caller's own program still knows it"


def test_no_variable_of_libpq_reaches_a_session(server_url):
    plain = python(SESSION, server_url)
    assert python(SESSION, server_url, **LIBPQ) == plain


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("http://127.0.0.1:8000", {"http_proxy": "http://proxy:1", "all_proxy": "http://proxy:2"}, None),
        ("http://127.9.9.9:8000", {"http_proxy": "http://proxy:1"}, None),
        ("http://localhost:8000", {"HTTP_PROXY": "http://proxy:1"}, None),
        ("http://[::1]:8000", {"all_proxy": "http://proxy:1"}, None),
        ("https://db.example", {"https_proxy": "http://proxy:1", "all_proxy": "http://proxy:2"}, "http://proxy:1"),
        ("https://db.example", {"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:1"}, "http://lower:1"),
        ("https://db.example", {"all_proxy": "http://proxy:2"}, "http://proxy:2"),
        ("https://db.example", {"https_proxy": "http://proxy:1", "no_proxy": ".example"}, None),
        ("https://db.example:8443", {"https_proxy": "http://proxy:1", "NO_PROXY": "*"}, None),
        ("https://db.example", {"https_proxy": "", "http_proxy": "http://proxy:1"}, None),
        ("https://db.example", {}, None),
        ("https://db.example", {"https_proxy": "proxy.corp:3128"}, "http://proxy.corp:3128"),
        ("https://db.example", {"https_proxy": "proxy.corp"}, "http://proxy.corp"),
        ("https://db.example", {"all_proxy": "somebody:word@[::1]:3128"}, "http://somebody:word@[::1]:3128"),
        ("https://db.example", {"https_proxy": " "}, None),
    ],
)
def test_another_machine_is_asked_by_the_caller_s_proxy_and_loopback_never(url, environment, proxy, monkeypatch):
    monkeypatch.setattr(surroundings, "_given", {"PATH": "/bin", **environment})
    assert surroundings.proxy_for(url) == proxy


class Heard(BaseHTTPRequestHandler):
    """A proxy that answers itself, and keeps what it was told."""

    def do_GET(self):
        self.server.told.append((self.path, self.headers.get("Proxy-Authorization")))
        body = b'{"service": "platform-api"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        """Return nothing."""


@pytest.mark.parametrize(("before", "signed_in"), [("", None), ("somebody:hunter2@", "Basic c29tZWJvZHk6aHVudGVyMg==")])
def test_a_proxy_that_is_named_without_its_scheme_is_asked(before, signed_in, settings, monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Heard) as server:
        server.told = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(surroundings, "_given", {"http_proxy": f"{before}127.0.0.1:{server.server_port}"})
        client = target.anonymous_client(settings, "http://db.example")
        assert client.get("/api/health")["service"] == "platform-api"
        client.close()
        server.shutdown()
    assert server.told == [("http://db.example/api/health", signed_in)]


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("socks5h://somebody:hunter2@proxy.corp:1080", "socks5h://proxy.corp"),
        ("somebody:hunter2@proxy.corp:many", ""),
        ("somebody:hunter2/x@proxy.corp:3128", ""),
        ("http://somebody:hunter2@", "http://"),
    ],
)
def test_what_is_wrong_with_a_proxy_is_said_without_its_password(proxy, shown, settings, monkeypatch):
    monkeypatch.setattr(surroundings, "_given", {"https_proxy": proxy})
    with pytest.raises(CliError) as refused:
        target.anonymous_client(settings, "https://db.example")
    assert "hunter2" not in str(refused.value)
    assert f"the proxy {shown}" in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_what_loads_with_the_command_line_reads_no_environment_before_it_is_ours():
    heed = ("psycopg", "gunicorn", "flask", "dramatiq", "docker", "requests", "redis")
    program = f"import sys, scripts.cli.__main__; print([name for name in {heed} if name in sys.modules])"
    assert python(program).strip() == "[]"


def test_an_install_heeds_where_packages_come_from_and_nothing_else():
    sources = {
        "PIP_INDEX_URL": "https://mirror.example/simple",
        "PIP_CERT": "/etc/ca.pem",
        "PIP_PROXY": "http://proxy:1",
    }
    done = subprocess.run(
        ["sh", "-euc", '. "$0"; env; umask', CHECKOUT / "scripts" / "environment.sh"],
        env={"PATH": os.environ["PATH"], **PIP, **PYTHON, **INTERPRETER, **sources, "CDPATH": "/:/tmp"},
        capture_output=True,
        text=True,
        check=True,
        umask=0o777,
    )
    *lines, umask = done.stdout.splitlines()
    seen = dict(line.partition("=")[::2] for line in lines)
    assert set(seen) & {*PIP, *PYTHON, *INTERPRETER, "CDPATH"} == set()
    assert sources.items() <= seen.items()
    assert umask == "0022"

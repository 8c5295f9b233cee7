"""What one project does to all others when it means harm, or does not know better: each act goes on until it is told to stop.

`python -m tests.isolation.attacks` does so from a process of its own, which takes from the machine what nobody else wants:
whoever attacks a server does it from other machines.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import httpx
import psycopg

from config.installation import settings_of
from config.settings import CHECKOUT
from infra.pipeline import PIPE, spawn
from scripts.stack import edge

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

LEAVE_SECONDS = 90.0
PREPARE = """
CREATE TABLE IF NOT EXISTS mine (id serial PRIMARY KEY, body text);
CREATE OR REPLACE FUNCTION public.slow() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(20)';
CREATE OR REPLACE FUNCTION public.big(n int) RETURNS text LANGUAGE sql AS $$ SELECT repeat('x', n) $$;
CREATE OR REPLACE FUNCTION public.shout() RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN FOR i IN 1..2000 LOOP RAISE WARNING '%', repeat('w', 1000); END LOOP; RETURN 1; END $$;
CREATE OR REPLACE FUNCTION public.locks() RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_lock(n) FROM generate_series(1, 1000000) n; PERFORM pg_sleep(20); RETURN 1; END $$;
CREATE OR REPLACE FUNCTION public.sleepy(text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN IF inet_client_addr() IS NULL THEN PERFORM pg_sleep(600); END IF; RETURN 1; END $$;
DO $$ BEGIN FOR n IN 1..3 LOOP
    EXECUTE format('CREATE TABLE IF NOT EXISTS asleep_%s (body text) WITH (autovacuum_analyze_threshold = 1)', n);
    EXECUTE format('CREATE INDEX IF NOT EXISTS asleep_%s_body ON asleep_%s (public.sleepy(body))', n, n);
END LOOP; END $$;
GRANT ALL ON ALL TABLES IN SCHEMA public TO anon, authenticated, service_role;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO anon, authenticated, service_role;
"""


@dataclass(frozen=True)
class HostileProject:
    """A project whose owner has it in for the others.

    base   where the platform is reached
    token  the owner's
    key    the project's service key
    uri    of its database, as the owner's login
    home   of an installation that is reached through its Caddy; empty: base is all that it takes
    """

    id: str
    base: str
    token: str
    key: str
    uri: str
    home: str = ""

    def client(self) -> httpx.Client:
        """Return a client of the project's data API."""
        headers = {"apikey": self.key, "Authorization": f"Bearer {self.key}"}
        return self.visitor(f"/project/{self.id}/rest/v1", headers=headers)

    def visitor(self, path: str = "", *, timeout: float = 30.0, **more: Any) -> httpx.Client:
        """Return a client of the platform, below a path."""
        ways = {"transport": edge.transport(settings_of(Path(self.home)))} if self.home else {}
        return httpx.Client(base_url=f"{self.base}{path}", timeout=timeout, **ways, **more)

    def connect(self) -> socket.socket:
        """Open a connection to where the platform listens."""
        at = urlsplit(self.base)
        if not self.home:
            return socket.create_connection((at.hostname, at.port), timeout=10)
        plain = socket.create_connection((edge.LOOPBACK, at.port), timeout=10)
        return ssl.create_default_context(cadata=edge.authority(settings_of(Path(self.home)))).wrap_socket(
            plain, server_hostname=at.hostname
        )

    def session(self) -> psycopg.Connection:
        """Open a session as the owner's login, with every time-out lifted that a tenant can lift."""
        opened = psycopg.connect(self.uri, autocommit=True, connect_timeout=5)
        for name in ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"):
            with suppress(psycopg.Error):
                opened.execute(f"SET {name} = 0")
        return opened


def locks(a: HostileProject) -> None:
    """Take the lock table of the whole server."""
    with a.session() as session:
        session.execute("SELECT public.locks()")


def locks_by_request(a: HostileProject) -> None:
    with a.client() as client:
        client.post("/rpc/locks", json={})


def sleeping_statements(a: HostileProject) -> None:
    with a.session() as session:
        session.execute("SELECT pg_sleep(200)")


def idle_transactions(a: HostileProject) -> None:
    with a.session() as session:
        session.execute("BEGIN")
        session.execute("LOCK TABLE mine")
        time.sleep(5)
        session.execute("COMMIT")


def every_connection(a: HostileProject) -> None:
    held = []
    try:
        with suppress(psycopg.Error):
            while len(held) < 60:
                held.append(a.session())
        time.sleep(2)
    finally:
        for one in held:
            one.close()


def notifications(a: HostileProject) -> None:
    """Fill the queue that all databases share, behind a listener that never reads."""
    with a.session() as listener, a.session() as speaker:
        listener.execute("LISTEN x")
        listener.execute("BEGIN")
        for _ in range(400):
            speaker.execute("SELECT count(pg_notify('x', repeat('n', 7000) || n)) FROM generate_series(1, 1000) n")


def sleeping_autovacuum(a: HostileProject) -> None:
    with a.session() as session:
        for number in (1, 2, 3):
            session.execute("SET synchronous_commit = off")
            session.execute(f"INSERT INTO asleep_{number} SELECT repeat('x', 9) FROM generate_series(1, 200)")
        time.sleep(2)


def memory(a: HostileProject) -> None:
    with a.session() as session:
        session.execute("SELECT length(string_agg(repeat('x', 1000000), '')) FROM generate_series(1, 900)")


def warnings(a: HostileProject) -> None:
    with a.session() as session:
        session.execute("SELECT public.shout()")


def slow_requests(a: HostileProject) -> None:
    with a.client() as client, ThreadPoolExecutor(100) as pool:
        list(pool.map(lambda _: _quietly(lambda: client.post("/rpc/slow", json={})), range(100)))


def large_answers(a: HostileProject) -> None:
    with a.client() as client:
        client.get("/rpc/big", params={"n": "400000000"})


def deep_bodies(a: HostileProject) -> None:
    with a.client() as client:
        client.post("/mine", content=b"[" * 9_000_000, headers={"Content-Type": "application/json"})


def heads_without_bodies(a: HostileProject) -> None:
    host = urlsplit(a.base).netloc
    head = f"POST /project/{a.id}/rest/v1/mine HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10737418240\r\n\r\n".encode()
    held = [a.connect() for _ in range(64)]
    try:
        for one in held:
            with suppress(OSError):
                one.sendall(head)
        time.sleep(3)
    finally:
        for one in held:
            one.close()


def wrong_passwords(a: HostileProject) -> None:
    with a.visitor() as client, ThreadPoolExecutor(60) as pool:
        body = {"email": f"nobody-{time.monotonic_ns()}@example.org", "password": "not this one, surely"}
        list(pool.map(lambda _: _quietly(lambda: client.post("/api/auth/login", json=body)), range(60)))


def event_streams(a: HostileProject) -> None:
    """Ask for the events of a job that does not end soon, sixteen times at once."""
    headers = {"Authorization": f"Bearer {a.token}"}
    with a.visitor(headers=headers, timeout=10.0) as client:
        job = client.post(f"/api/projects/{a.id}/vacuum").json()["job"]["id"]

        def follow() -> None:
            with client.stream("GET", f"/api/jobs/{job}/events") as stream:
                for _ in stream.iter_bytes():
                    pass

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: _quietly(follow), range(16)))


def jobs_that_hang(a: HostileProject) -> None:
    """Migrations that sleep, so that they hold workers."""
    headers = {"Authorization": f"Bearer {a.token}"}
    with a.visitor(headers=headers, timeout=10.0) as client:
        for number in range(4):
            version = str(time.time_ns() + number)[-18:].lstrip("0")
            body = {"version": version, "name": "sleep", "sql": "SELECT pg_sleep(3600)", "timeoutMs": 3_600_000}
            client.post(f"/api/projects/{a.id}/migrations", content=json.dumps(body))
    time.sleep(10)


ATTACKS: tuple[Callable[[HostileProject], None], ...] = (
    locks, locks_by_request, sleeping_statements, idle_transactions, every_connection, notifications,
    sleeping_autovacuum, memory, warnings, slow_requests, large_answers, deep_bodies, heads_without_bodies,
    wrong_passwords, event_streams, jobs_that_hang,
)  # fmt: skip


def _quietly(act: Callable[[], object]) -> None:
    with suppress(httpx.HTTPError, ValueError):
        act()


class Assault:
    """Every attack again and again, each in a thread of a process that gives way to all others, for the length of a block.

    rounds  how often each was carried out, once the block is over
    """

    def __init__(
        self, hostile: HostileProject, attacks: tuple[str, ...] = tuple(act.__name__ for act in ATTACKS)
    ) -> None:
        self._orders = json.dumps({"hostile": asdict(hostile), "attacks": attacks}).encode() + b"\n"
        self._process: subprocess.Popen[bytes] | None = None
        self.rounds: dict[str, int] = {}

    def __enter__(self) -> Self:
        argv = [sys.executable, "-m", "tests.isolation.attacks"]
        self._process = spawn(argv, cwd=CHECKOUT, stdin=PIPE, stdout=PIPE)
        assert self._process.stdin is not None
        self._process.stdin.write(self._orders)
        self._process.stdin.flush()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        out, _err = self._process.communicate(timeout=LEAVE_SECONDS)
        self.rounds = json.loads(out)


def _attack_until_told(hostile: HostileProject, names: list[str]) -> dict[str, int]:
    """Carry the attacks out until standard input ends; return how often each was."""
    over = threading.Event()
    rounds = dict.fromkeys(names, 0)

    def go_on(attack: Callable[[HostileProject], None]) -> None:
        while not over.wait(0.5):
            # Being refused or ended is what it deserves.
            with suppress(psycopg.Error, httpx.HTTPError, OSError, KeyError, ValueError):
                attack(hostile)
            rounds[attack.__name__] += 1

    chosen = [attack for attack in ATTACKS if attack.__name__ in names]
    for attack in chosen:
        threading.Thread(target=go_on, args=(attack,), daemon=True).start()
    sys.stdin.buffer.read()
    over.set()
    return rounds


def _give_way() -> None:
    """Take only what no other process wants: in a session of its own, which the kernel may weigh as a whole, too."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text("19")


def main() -> None:
    """Attack as standard input says, until it ends; print how often each was done."""
    _give_way()
    orders = json.loads(sys.stdin.buffer.readline())
    rounds = _attack_until_told(HostileProject(**orders["hostile"]), orders["attacks"])
    sys.stdout.write(json.dumps(rounds))
    sys.stdout.flush()
    os._exit(0)  # what is still under way is broken off, as a client's crash would


if __name__ == "__main__":
    main()

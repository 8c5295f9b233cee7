"""PgBouncer between the projects' clients and Postgres: what it serves is in its file, and it has taken it."""

from __future__ import annotations

import hashlib
import logging
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from infra.errors import Unavailable
from infra.pooler import login, pooler_files
from infra.pooler.console import Console, ConsoleTimeout, open_console
from infra.pooler.pooler import PoolerEntry
from infra.pooler.pooler_files import PgBouncerFolder, PgBouncerFrame
from infra.postgres import scram
from infra.postgres.database import CONNECT_TIMEOUT_SECONDS
from infra.secrets import secretfiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from infra.postgres.cluster import Cluster

log = logging.getLogger(__name__)
ADMIN = "launchdb_pooler_admin"
SESSION = "launchdb-pooler"
CONSOLE = "pgbouncer"
# Logins that are asked about at a time, and the operator's own looks at the platform database.
PLATFORM_POOL = (5, 5)
# How long PgBouncer may take to show what it was told, and a transaction to come to its end before a release.
TAKE_SECONDS, DRAIN_SECONDS, LOOK_SECONDS = 3.0, 2.0, 0.02
LOGIN_SECONDS, SETTLE_SECONDS = 0.5, 0.5
# Until nobody was just coming in, so many looks on end.
CALM_SECONDS, QUIET_LOOKS = 2.0, 8
_SESSIONS = ("sv_active", "sv_idle", "sv_used", "sv_tested", "sv_login")
_COLUMNS = ("host", "port", "database", "pool_size", "reserve_pool_size", "max_connections")


@dataclass(frozen=True)
class PgBouncerAddress:
    """Where a PgBouncer is.

    url      URI of its administration database, without a password
    folder   its two files, and those of before
    secrets  the platform's own secrets
    sockets  folder of its Unix socket, as PgBouncer sees it
    inside   that folder as data APIs see it; empty: they come by TCP, as we do
    """

    url: str
    folder: Path
    secrets: Path
    sockets: Path
    inside: str = ""

    @property
    def host(self) -> str:
        """Where our own processes reach it."""
        return str(conninfo_to_dict(self.url).get("host") or "127.0.0.1")

    @property
    def port(self) -> str:
        """The port that it listens on, by TCP and in the name of its socket."""
        return str(conninfo_to_dict(self.url).get("port") or "6432")


class PgBouncer:
    """Verbs that look at what file and PgBouncer hold, and act on the difference."""

    exists = True

    def __init__(self, place: PgBouncerAddress, cluster: Cluster, *, platform: str) -> None:
        self._place, self._cluster = place, cluster
        self._platform = PoolerEntry(platform, *PLATFORM_POOL)
        self._folder = PgBouncerFolder(place.folder)

    def prepare(self, session: str) -> None:
        """Ensure that the secrets exist, and the login by which PgBouncer asks for the projects' logins."""
        secretfiles.ensure_own(self._place.secrets)
        password = secretfiles.current(self._place.secrets, "POOLER_AUTH_PASSWORD")
        login.ensure_pooler_login(self._cluster, self._platform.database, password, session)

    def serve(self, wanted: Callable[[], Sequence[PoolerEntry]]) -> bool:
        """Ensure that PgBouncer serves exactly what is wanted and that its files say so, also when it is away.

        Raises Unavailable when it is away or does not take its file; then the last good one is put back.
        """
        with self._folder.locked():
            entries = sorted(wanted(), key=lambda entry: entry.database)
            written = self._write(entries)
            try:
                self.resume(self._platform.database)  # whoever has held it back may have been killed since
                with self._console() as admin:
                    if changed := written or bool(self._differences(admin, entries)):
                        admin.run_command("RELOAD")
                        self._await(admin, entries)
                    self._folder.keep_taken()
            except Unavailable:
                # One that was made to read the rest of a file lets nobody in to tell it so; it watches the file.
                self._folder.write_anew()
                raise
        return changed

    def write(self, wanted: Callable[[], Sequence[PoolerEntry]]) -> bool:
        """Write the files for a PgBouncer that is about to start; return whether they were written."""
        with self._folder.locked():
            return self._write(sorted(wanted(), key=lambda entry: entry.database))

    def served(self) -> list[PoolerEntry]:
        """Return the projects' databases that PgBouncer has taken."""
        with self._console() as admin:
            return [
                PoolerEntry(name, int(row["pool_size"]), int(row["reserve_pool_size"]), row["paused"] == "1")
                for name, row in self._shown(admin).items()
                if name != self._platform.database
            ]

    def databases(self) -> list[str]:
        """Return the names of all databases that PgBouncer has taken."""
        with self._console() as admin:
            return list(self._shown(admin))

    def release(self, database: str, *, seconds: float = DRAIN_SECONDS) -> None:
        """Release every session of a database; its clients wait until it is resumed, and none fails for it."""
        with self._console() as admin:
            if self._shown(admin).get(database, {}).get("paused") != "0":
                return
            self._await_logins(admin, database)
            with suppress(ConsoleTimeout):  # who is busy still is for the caller to put out; nobody new comes in
                admin.run_command(f'PAUSE "{database}"', seconds=seconds)

    def resume(self, database: str) -> None:
        """Resume the clients of a database."""
        with self._console() as admin:
            if self._shown(admin).get(database, {}).get("paused") == "1":
                admin.run_command(f'RESUME "{database}"')

    def reconnect(self, database: str) -> None:
        """Have sessions opened anew as they fall free: what is set for a database counts from their begin."""
        self.release(database, seconds=SETTLE_SECONDS)
        with self._console() as admin:
            if database in self._shown(admin):
                admin.run_command(f'RECONNECT "{database}"')
                admin.run_command(f'RESUME "{database}"')

    def change_passwords(self, database: str, logins: Mapping[str, str], change: Callable[[], None]) -> None:
        """Change the passwords of logins, and tell PgBouncer at once.

        It opens sessions with what a client of that login has proven last, so somebody has to log in anew: we do. The
        sessions that are open serve all clients meanwhile; where there are none, clients are held back.
        """
        pools = self._pools(database)
        held = not any(int(pool[state]) for pool in pools for state in _SESSIONS)
        if held:
            self.release(database)
        try:
            change()
            uris = [self.uri(database, pool["user"], logins[pool["user"]]) for pool in pools if pool["user"] in logins]
            with ThreadPoolExecutor(max_workers=len(uris) or 1) as threads:
                entered = [threads.submit(_log_in, uri) for uri in uris]
                # A pool that nobody has come through makes its first client wait for a session, so for the end of this.
                wait(entered, timeout=LOGIN_SECONDS)
                if held:
                    self.resume(database)
        finally:
            if held:
                self.resume(database)
        for one in entered:
            one.result()

    def data_uri(self, database: str, user: str, password: str) -> str:
        """Return the URI for a data API: by the socket in its own folder, where it has one."""
        if not self._place.inside:
            return self.uri(database, user, password)
        place = f"host={quote(self._place.inside, safe='')}&port={self._place.port}"
        return f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@/{quote(database)}?{place}"

    def uri(self, database: str, user: str, password: str) -> str:
        """Return the URI by TCP."""
        who = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return f"postgresql://{who}@{self._place.host}:{self._place.port}/{quote(database)}"

    def _console(self) -> AbstractContextManager[Console]:
        return open_console(self._place.url, secretfiles.current(self._place.secrets, "POOLER_ADMIN_PASSWORD"))

    def _write(self, entries: Sequence[PoolerEntry]) -> bool:
        text = pooler_files.render_configuration(self._frame(), entries)
        # Who may log in first: a configuration names the file.
        users = self._folder.keep_users(self._users())
        return self._folder.keep_configuration(text) or users

    def _frame(self) -> PgBouncerFrame:
        place, server = self._place, conninfo_to_dict(self._cluster.conninfo)
        return PgBouncerFrame(
            host=str(server.get("host") or "127.0.0.1"),
            port=str(server.get("port") or "5432"),
            platform=self._platform,
            listen_addr=place.host if _is_loopback(place.host) else "*",
            listen_port=place.port,
            socket_folder=str(place.sockets),
            userlist=str(self._folder.users),
            auth_user=login.NAME,
            admin_user=ADMIN,
        )

    def _users(self) -> dict[str, str]:
        secretfiles.ensure_own(self._place.secrets)
        own = secretfiles.current(self._place.secrets, "POOLER_AUTH_PASSWORD")
        admin = secretfiles.current(self._place.secrets, "POOLER_ADMIN_PASSWORD")
        # The salt is made of the password, which nobody can guess: the same file comes of the same secrets.
        salt = hashlib.sha256(f"{ADMIN} {admin}".encode()).digest()[: scram.SALT_BYTES]
        return {
            **login.administrator_verifier(self._cluster, SESSION),
            login.NAME: own,  # it logs in with it, so it has to know it
            ADMIN: scram.verifier(admin, rounds=scram.FEW_ROUNDS, salt=salt),
        }

    def _await(self, admin: Console, entries: Sequence[PoolerEntry]) -> None:
        """Wait until PgBouncer shows what it was told: it answers a RELOAD of any file with success."""
        deadline = time.monotonic() + TAKE_SECONDS
        while found := self._differences(admin, entries):
            if time.monotonic() > deadline:
                log.error("the pooler did not take its configuration", extra={"faults": found})
                if self._folder.put_back():
                    admin.run_command("RELOAD")
                raise Unavailable(f"PgBouncer did not take its configuration: {'; '.join(found)}")
            time.sleep(LOOK_SECONDS)

    def _await_logins(self, admin: Console, database: str) -> None:
        """Wait until no session of a database is just being opened.

        PgBouncer breaks that off, takes it for a login that has failed, and tells the next clients so.
        """
        deadline, quiet, before = time.monotonic() + CALM_SECONDS, 0, -1
        while quiet < QUIET_LOOKS and time.monotonic() < deadline:
            pools = [row for row in admin.run_command("SHOW POOLS") if row["database"] == database]
            open_now = sum(int(row[state]) for row in pools for state in _SESSIONS)
            calm = open_now == before and all(row["sv_login"] == row["cl_waiting"] == "0" for row in pools)
            quiet, before = (quiet + 1 if calm else 0), open_now
            if quiet < QUIET_LOOKS:
                time.sleep(LOOK_SECONDS)

    def _differences(self, admin: Console, entries: Sequence[PoolerEntry]) -> list[str]:
        """Return in words in what PgBouncer differs from its file and from what is wanted."""
        frame = self._frame()
        wanted = {entry.database: _row(frame, entry) for entry in (self._platform, *entries)}
        shown = {name: {column: row[column] for column in _COLUMNS} for name, row in self._shown(admin).items()}
        said = pooler_files.parse_configuration(self._folder.configuration.read_text())["pgbouncer"]
        config = {row["key"]: row for row in admin.run_command("SHOW CONFIG")}
        return [
            *(f"{name} is not served" for name in wanted.keys() - shown.keys()),
            *(f"{name} is served" for name in shown.keys() - wanted.keys()),
            *(f"{name} has other values" for name in _common(wanted, shown) if wanted[name] != shown[name]),
            *(
                f"{key} has another value"
                for key in _common(said, config)
                if config[key]["changeable"] == "yes" and config[key]["value"] != said[key]
            ),
        ]

    def _pools(self, database: str) -> list[dict[str, str]]:
        """Return who has logged in to a database that is served, and how many sessions that takes."""
        with self._console() as admin:
            return [row for row in admin.run_command("SHOW POOLS") if row["database"] == database]

    def _shown(self, admin: Console) -> dict[str, dict[str, str]]:
        return {row["name"]: row for row in admin.run_command("SHOW DATABASES") if row["name"] != CONSOLE}


def _log_in(uri: str) -> None:
    try:
        psycopg.connect(uri, connect_timeout=int(CONNECT_TIMEOUT_SECONDS)).close()
    except psycopg.OperationalError as error:
        raise Unavailable("the pooler does not take a password that Postgres takes") from error


def _row(frame: PgBouncerFrame, entry: PoolerEntry) -> dict[str, str]:
    sizes = str(entry.pool_size), str(entry.reserve), str(entry.max_connections)
    return dict(zip(_COLUMNS, (frame.host, frame.port, entry.database, *sizes), strict=True))


def _common(one: Iterable[str], other: Iterable[str]) -> list[str]:
    return sorted(set(one) & set(other))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

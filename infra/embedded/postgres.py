"""The embedded Postgres: made once, started in the foreground, found again after a crash."""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from config.settings import remembered_state
from infra import files
from infra.embedded import accounts, state
from infra.embedded.programs import postgres_bin
from infra.errors import Refused, Unavailable
from infra.pipeline import Account, ProgramFailed, run
from infra.secrets import secretfiles
from infra.sockets import short_home_name

if TYPE_CHECKING:
    from config.settings import Settings

DATABASE = "platform"
SUPERUSER = "postgres"
DATA, PORT = "LAUNCHDB_POSTGRES_DATA", "LAUNCHDB_POSTGRES_PORT"
# Below the range that Linux hands to outgoing connections, so that a remembered port is still free at the next start.
PORTS = range(15432, 25432)
# The project logins, the pools of every process and some for people; an idle one costs 2 MB.
MAX_CONNECTIONS = 300
RESERVED_CONNECTIONS = 40
# The limit of a process is that of each that it starts: who wants more memory is told that there is none, and goes on.
BOUND = 'ulimit -d "$1"; shift; exec "$@"'
LEFTOVER_SECONDS = 30.0
# The first message of protocol 3.0, which a server answers with `R`, a question for the password.
_NAMES = b"user\0postgres\0database\0postgres\0\0"
HELLO = struct.pack("!II", 8 + len(_NAMES), 3 << 16) + _NAMES


@dataclass(frozen=True)
class Postgres:
    """One data folder and how its server is started. backend_mb: memory that one of its processes takes at most."""

    programs: Path
    data: Path
    port: int
    account: Account | None
    backend_mb: int

    def argv(self) -> list[str]:
        """Return the command line of the server: loopback only, nothing secret, nothing a tenant could reach."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": str(MAX_CONNECTIONS),
            # However many sessions projects have: ours find a place.
            "reserved_connections": str(RESERVED_CONNECTIONS),
            # The table of locks that all projects share: 154,000 entries, 52 MB at most. A dump takes one a table.
            "max_locks_per_transaction": "512",
            "password_encryption": "scram-sha-256",
            "shared_buffers": "128MB",
            "max_wal_size": "1GB",
            # After a crash: one call in place of one for each of the 300 files that every project has.
            "recovery_init_sync_method": "syncfs",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_destination": "stderr",
            "logging_collector": "off",
            "log_statement": "none",
            "log_min_error_statement": "panic",  # a failed statement may hold a password
            "log_parameter_max_length_on_error": "0",
            "idle_in_transaction_session_timeout": "10min",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        bound = ["/bin/sh", "-c", BOUND, "postgres", str(self.backend_mb * 1024)]
        return [*bound, str(self.programs / "postgres"), "-D", str(self.data), *options]

    def answers(self) -> bool:
        """Return whether the server takes connections: it asks for a password, not so while it recovers."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(HELLO)
                return connection.recv(1) == b"R"
        except OSError:
            return False


def prepare(settings: Settings) -> Postgres:
    """Ensure that the data folder is whole and nobody works in it; remember port and folder.

    Raises Refused for what a person must mend: a missing library, a taken port, a full disk.
    """
    account = accounts.service_account()
    programs = postgres_bin(settings, account)
    data = _data_folder(settings, account)
    if account is not None and data.exists():
        account = accounts.account_of(data)
    password = secretfiles.current(settings.secrets_folder, "POSTGRES_SUPERUSER_PASSWORD")
    if not (data / "PG_VERSION").exists():
        _initdb(programs, data, password, account)
    _end_leftover(data)
    server = Postgres(programs, data, _port(settings), account, settings.postgres_backend_mb)
    _remember(settings, server, password)
    return server


def _data_folder(settings: Settings, account: Account | None) -> Path:
    known = remembered_state(settings.home)
    if DATA in known:
        data = Path(known[DATA])
        if "LAUNCHDB_DATABASE_URL" in known and not (data / "PG_VERSION").exists():
            raise Refused(f"the data of this home's Postgres is gone from {data}; bring it back, or start a new home")
        return data
    data = settings.home / "postgres" / "data"
    if not accounts.reachable(data, account):
        # A home under /root: the service account could not pass, and we do not open folders that are not ours. The
        # name is never used again, so that a new home at the place of a removed one does not meet its data.
        files.ensure_folder(settings.service_folder, mode=0o755)
        data = settings.service_folder / f"{short_home_name(settings.home)}-{secrets.token_hex(3)}" / "data"
    state.remember(settings.home, **{DATA: str(data)})
    return data


def _initdb(programs: Path, data: Path, password: str, account: Account | None) -> None:
    """Make the cluster beside its place and move it there when whole: one that was cut short is made again."""
    owner = (account.uid, account.gid) if account else None
    above = files.ensure_folder(data.parent, mode=0o700, owner=owner)
    beside, pwfile = above / "data.new", above / "password.new"
    with files.translate_os_errors(data):
        if beside.exists():
            shutil.rmtree(beside)
        if data.exists() and any(data.iterdir()):
            raise Refused(f"{data} holds files but no Postgres data; move it away, then start again")
    files.replace(pwfile, password + "\n", owner=owner)
    argv: list[str | Path] = [
        programs / "initdb",
        "-D",
        beside,
        "-U",
        SUPERUSER,
        f"--pwfile={pwfile}",
        "--auth=scram-sha-256",
    ]
    argv += ["--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums", "--no-instructions"]
    try:
        run(argv, timeout_seconds=120, account=account, cwd=Path("/"), env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"})
        beside.replace(data)
    except ProgramFailed as error:
        if "No space left" in error.said:
            raise Refused(f"the disk is full: {data} could not be written; free some space and start again") from error
        raise
    except OSError as error:
        raise files.os_error_text(error, str(data)) from error
    finally:
        pwfile.unlink(missing_ok=True)


def leftover_server(data: Path) -> int | None:
    """Return the process id of a live server of this data folder; the file alone proves nothing."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        alive = Path(f"/proc/{pid}/cwd").readlink() == data.resolve()
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError):
        return None
    return pid if alive and name == "postgres" else None


def _end_leftover(data: Path) -> None:
    """End the server of a killed supervisor in order, so that ours can be watched and restarted."""
    pid = leftover_server(data)
    if pid is not None:
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + LEFTOVER_SECONDS
        while leftover_server(data) == pid:
            if time.monotonic() > deadline:
                raise Unavailable(f"a Postgres of an earlier start (process {pid}) does not end; stop it, then start")
            time.sleep(0.02)
    elif (data / "postmaster.pid").exists():
        # Its number may be another process's by now, which Postgres would take for a live server.
        (data / "postmaster.pid").unlink(missing_ok=True)


def _port(settings: Settings) -> int:
    known = remembered_state(settings.home).get(PORT)
    if known:
        if not is_port_free(int(known)):
            raise Refused(f"port {known} of this home's Postgres is taken by another program; stop it, then start")
        return int(known)
    for port in random.sample(PORTS, 200):
        if is_port_free(port):
            return port
    raise Refused(f"no free port was found between {PORTS.start} and {PORTS.stop} for Postgres")


def is_port_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether somebody may listen on this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _remember(settings: Settings, server: Postgres, password: str) -> None:
    # libpq reads the password from this file at every connect: no URL, environment or state holds it.
    passfile = settings.secrets_folder / "pgpass"
    line = (
        f"127.0.0.1:{server.port}:*:{SUPERUSER}:{password.replace(chr(92), chr(92) * 2).replace(':', chr(92) + ':')}\n"
    )
    if not files.holds(passfile, line):
        files.replace(passfile, line)
    url = f"postgresql://{SUPERUSER}@127.0.0.1:{server.port}/{DATABASE}?passfile={quote(str(passfile), safe='')}"
    state.remember(settings.home, **{"LAUNCHDB_DATABASE_URL": url, DATA: str(server.data), PORT: str(server.port)})

"""pg_dump and pg_restore as stages of a pipe. The password goes in as a file in memory, never by argv."""

from __future__ import annotations

import fcntl
import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infra.backup.archive import copy_bytes
from infra.embedded import programs
from infra.errors import Refused
from infra.pipeline import PIPE, SECRET, stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.settings import Settings
    from infra.backup.archive import Form

Format = Literal["sql.gz", "dump.zst"]
FORMATS: tuple[Format, ...] = ("sql.gz", "dump.zst")
FORMS: dict[Format, Form] = {"sql.gz": "gz", "dump.zst": "zst"}
PIPE_BYTES = 1 << 20
# Waiting for the lock of somebody's ALTER TABLE for hours would hold a snapshot as long.
LOCK_WAIT = "60s"
ENVIRONMENT = {"PGPASSFILE": f"/dev/fd/{SECRET}", "LC_ALL": "C.UTF-8", "PGCLIENTENCODING": "UTF8"}


@dataclass(frozen=True)
class PostgresPrograms:
    """Where Postgres' own programs lie."""

    folder: Path

    @classmethod
    def of(cls, settings: Settings) -> PostgresPrograms:
        """Find them: the settings' own, the wheel's, or those on PATH. Raises Refused when there are none."""
        on_path = shutil.which("pg_dump")
        try:
            return cls(programs.postgres_bin(settings, None))
        except Refused:
            if on_path is None:
                raise
            return cls(Path(on_path).parent)

    @contextmanager
    def dump(self, uri: str, form: Format, *, snapshot: str, session: str) -> Iterator[IO[bytes]]:
        """Lend the dump of a database as it is written: all but what the platform itself keeps in it.

        snapshot  as pg_export_snapshot() named it, so that what is counted beside is what is dumped

        Raises ProgramFailed when pg_dump does not end well.
        """
        argv: list[str | Path] = [
            self.folder / "pg_dump",
            *(("--format=plain",) if form == "sql.gz" else ("--format=custom", "--compress=0")),
            "--exclude-schema=launchdb",
            "--no-subscriptions",
            "--no-tablespaces",
            "--no-security-labels",
            "--no-password",
            f"--lock-wait-timeout={LOCK_WAIT}",
            f"--snapshot={snapshot}",
            f"--dbname={_without_password(uri, session)}",
        ]
        with stage(argv, env=ENVIRONMENT, stdout=PIPE, secret=_password_line(uri)) as process:
            if process.stdout is None:
                raise RuntimeError("a pipe was asked for")
            fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            yield process.stdout

    @contextmanager
    def as_sql(self, plain: IO[bytes], form: Format, *, most_bytes: int) -> Iterator[IO[bytes]]:
        """Lend a dump as SQL, whatever its format. Raises ProgramFailed when pg_restore cannot read it, Damaged."""
        if form == "sql.gz":
            yield plain
            return
        argv: list[str | Path] = [self.folder / "pg_restore", "--file=-", "--no-password"]
        with stage(argv, env={"LC_ALL": "C.UTF-8"}, stdin=PIPE, stdout=PIPE) as process:
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("pipes were asked for")
            feeder = _Feeder(plain, process.stdin, most_bytes)
            feeder.start()
            try:
                yield process.stdout
            finally:
                # Whatever ended the reading: nothing is left to feed once this end is closed.
                process.stdout.close()
                feeder.join()
            if feeder.fault is not None:
                raise feeder.fault


class _Feeder(threading.Thread):
    """Feeds one program while another thread reads what it makes of it."""

    def __init__(self, source: IO[bytes], sink: IO[bytes], most_bytes: int) -> None:
        super().__init__(name="feed", daemon=True)
        self._source, self._sink, self._most_bytes = source, sink, most_bytes
        self.fault: BaseException | None = None

    def run(self) -> None:
        try:
            copy_bytes(self._source, self._sink, most_bytes=self._most_bytes)
            self._sink.close()
        except BrokenPipeError:
            return  # the program has ended: its exit status says why
        except BaseException as error:  # noqa: BLE001 - it is raised where somebody can heed it
            self.fault = error
            self._sink.close()


def _without_password(uri: str, session: str) -> str:
    known: dict[str, Any] = {name: value for name, value in conninfo_to_dict(uri).items() if name != "password"}
    return make_conninfo(**{**known, "application_name": session, "connect_timeout": "5"})


def _password_line(uri: str) -> str:
    """Write the password as libpq's password file has it: any host, any database."""
    password = str(conninfo_to_dict(uri).get("password") or "")
    return "*:*:*:*:" + password.replace("\\", "\\\\").replace(":", "\\:") + "\n"

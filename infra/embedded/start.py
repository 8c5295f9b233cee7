"""One installation under one supervisor: servers first, then the schema, then the Procfile's processes."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from config import surroundings
from config.settings import CHECKOUT
from infra import files, gpg
from infra.embedded import postgres, procfile, state, valkey
from infra.embedded.child import ProcessSpec
from infra.embedded.output import ProcessLog
from infra.embedded.report import READY, STEP, StartReport
from infra.embedded.supervisor import Supervisor
from infra.errors import Refused, Unavailable
from infra.secrets import secretfiles

if TYPE_CHECKING:
    from pathlib import Path

    from config.settings import Settings

# After a power cut Postgres may have a gigabyte of log to replay; one that cannot start dies, and is not waited for.
SERVER_SECONDS = 600.0
PREPARE_SECONDS = 120.0
# Workers first, so that nothing new is begun; the scheduler after who might still ring it.
STOP_ORDER = ("worker", "api")


def folders(settings: Settings) -> None:
    """Ensure that the home exists with what lies in it. Raises Refused."""
    # The servers' account passes through a home made by root; what is secret lies in closed folders inside it.
    files.ensure_folder(settings.home, mode=0o711 if os.geteuid() == 0 else 0o700)
    for path in (log_folder(settings), settings.run_folder, settings.secrets_folder):
        files.ensure_folder(path, mode=0o700)


def log_folder(settings: Settings) -> Path:
    """Return where every process's output is collected."""
    return settings.home / "log"


def lock_path(settings: Settings) -> Path:
    """Return the file that the one supervisor of a home holds; it says its process id."""
    return settings.run_folder / "supervisor.lock"


class Installation:
    """Starts everything for these settings, serves until asked to stop, stops everything in order."""

    def __init__(self, settings: Settings, report: StartReport) -> None:
        self.settings = settings
        self.report = report
        self.supervisor = Supervisor(ProcessLog(self._log("supervisor")))
        self._roles: dict[str, list[str]] = {}
        self._servers: list[str] = []

    def run(self) -> None:
        """Run to the end. Raises Refused or Unavailable, after stopping what was started, when the start fails."""
        self.supervisor.listen()
        try:
            self._start()
            self.supervisor.serve()
        finally:
            self._stop()

    def _start(self) -> None:
        if not postgres.is_port_free(self.settings.port, self.settings.host):
            raise Refused(
                f"port {self.settings.port} is taken by another program; stop it, or choose another by --port"
            )
        if not gpg.is_installed():
            self.report.send(
                STEP, "gpg is not installed: no backups, and projects go only with --purge (package gnupg)"
            )
        lines = procfile.read(self.settings.procfile, self.settings.formation)
        secretfiles.ensure(self.settings.secrets_folder, self.settings.home / ".env")
        state.remember(self.settings.home, LAUNCHDB_PORT=str(self.settings.port))
        self._start_servers()
        self._prepare()
        for line in lines:
            self._roles.setdefault(line.role, []).append(line.name)
            self.supervisor.start(self._spec(line.name, line.argv, log=line.role))
        self.report.send(READY, f"{len(lines)} processes started")
        self.report.close()

    def _start_servers(self) -> None:
        if not self.settings.redis_url:
            bell = valkey.prepare(self.settings)
            self._serve_with("valkey", self._spec("valkey", tuple(bell.argv()), grace_seconds=5), bell)
        if not self.settings.database_url:
            server = postgres.prepare(self.settings)
            # Left alone by a killed supervisor it ends by itself, in order: SIGINT is its fast shutdown.
            spec = self._spec(
                "postgres",
                tuple(server.argv()),
                account=server.account,
                stop=signal.SIGINT,
                orphaned=signal.SIGINT,
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
                cwd=server.data,
            )
            self._serve_with("postgres", spec, server)

    def _serve_with(self, name: str, spec: ProcessSpec, server: postgres.Postgres | valkey.Valkey) -> None:
        child = self.supervisor.start(spec)
        self._servers.insert(0, name)
        self.supervisor.wait(lambda: child.deaths > 1 or server.answers(), seconds=SERVER_SECONDS)
        if self.supervisor.stopping:
            raise Unavailable("stopped while starting")
        if not server.answers():
            raise _failure(f"{name} does not start", ProcessLog(spec.log))
        self.report.send(STEP, f"{name} answers")

    def _prepare(self) -> None:
        spec = self._spec("prepare", (sys.executable, "-m", "infra.embedded.prepare"), once=True)
        child = self.supervisor.start(spec)
        self.supervisor.wait(lambda: child.status is not None, seconds=PREPARE_SECONDS)
        if child.status != 0:
            raise _failure("the platform database cannot be prepared", ProcessLog(spec.log))
        self.supervisor.stop(["prepare"])
        self.report.send(STEP, "platform database and project template are up to date")

    def _stop(self) -> None:
        self.supervisor.stopping = True
        self.supervisor.stop(["prepare"])
        for role in (*STOP_ORDER, *(role for role in self._roles if role not in STOP_ORDER)):
            self.supervisor.stop(self._roles.get(role, []))
        for name in sorted(self._servers, key=("valkey", "postgres").index):
            self.supervisor.stop([name])

    def _log(self, name: str) -> Path:
        return log_folder(self.settings) / f"{name}.log"

    def _spec(self, name: str, argv: tuple[str, ...], *, log: str = "", **more: object) -> ProcessSpec:
        known: dict[str, object] = {"env": self._environment(), "cwd": CHECKOUT, **more}
        return ProcessSpec(name=name, argv=argv, log=self._log(log or name), **known)  # type: ignore[arg-type]

    def _environment(self) -> dict[str, str]:
        own = {"LAUNCHDB_HOME": str(self.settings.home), "LAUNCHDB_PORT": str(self.settings.port)}
        return {**surroundings.program_environment(), **own, "PYTHONUNBUFFERED": "1"}


def _failure(what: str, log: ProcessLog) -> Refused:
    said = log.tail()
    if "No space left" in said:
        return Refused("the disk is full; free some space and start again")
    return Refused(f"{what}; the end of {log.path}:\n{said}")

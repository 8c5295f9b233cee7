"""Requests for a project that does not serve now: a sleeping one is woken by those who mean it, and they are held."""

from __future__ import annotations

import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.data.config import DataConfig
from app.data.errors import PgrstError
from app.data.run import bearer
from app.http.context import ConcurrencyLimit
from catalog import names, projects, secrets
from catalog.project_states import REACHABLE
from catalog.projects import ProjectBusy
from infra.errors import Refused
from jobs.projects import api_keys, data_plane
from jobs.requests import lifecycle

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.data.serve.unserved import UnservedRequest
    from config.settings import Settings
    from infra.composition import Infra

HELD_SECONDS = 10.0
LOOK_SECONDS, ASK_SECONDS = 0.025, 0.5
# What looks after machines, or reads the web, and is no client of a project.
_NO_CLIENT = re.compile(
    r"bot\b|bot/|crawl|spider|slurp|archiver|monitor|uptime|pingdom|statuscake|site24x7|health|probe|prometheus|blackbox|"
    r"nagios|zabbix|icinga|checkly|googlehc|facebookexternalhit|headlesschrome|lighthouse",
    re.IGNORECASE,
)


@dataclass
class _Wait:
    done: threading.Event = field(default_factory=threading.Event)
    wakes: bool = False
    served: bool = False


class WakeOnRequest:
    """Holds requests until their project serves. All that wait for one service of it share one look."""

    def __init__(self, settings: Settings, infra: Infra) -> None:
        self._infra = infra
        self._slots = ConcurrencyLimit(max(2, settings.api_threads // 4))
        self._waits: dict[tuple[str, str], _Wait] = {}
        self._lock = threading.Lock()

    def wait_until_served(
        self, asked: UnservedRequest, answers: Callable[[], bool], *, seconds: float = HELD_SECONDS
    ) -> bool:
        """Return whether the project serves now, or comes to serve within so many seconds.

        answers  says whether the service can be asked

        Raises PgrstError: 401 when the key is not the project's, 503 when too many wait already. Raises Unavailable.
        """
        status = self._status(asked.project_id)
        if answers():
            return True
        wakes = status == "sleeping" and self._wakes(asked)
        if not wakes and status != "active":
            return False
        with self._slots.hold() as held:
            if not held:
                raise PgrstError(
                    "PGRST000", "Many wait for projects already", status=503, headers=(("Retry-After", "1"),)
                )
            return self._waited(asked, answers, wakes=wakes, seconds=seconds)

    def _waited(self, asked: UnservedRequest, answers: Callable[[], bool], *, wakes: bool, seconds: float) -> bool:
        key = asked.project_id, asked.service
        with self._lock:
            shared = self._waits.get(key)
            first = shared is None
            if shared is None:
                shared = self._waits[key] = _Wait()
            shared.wakes |= wakes
        if not first:
            shared.done.wait(seconds + 1)
            return shared.served
        try:
            shared.served = self._watched(asked.project_id, answers, shared, time.monotonic() + seconds)
        finally:
            with self._lock:
                del self._waits[key]
            shared.done.set()
        return shared.served

    def _watched(self, project_id: str, answers: Callable[[], bool], shared: _Wait, deadline: float) -> bool:
        # One that is just being restarted answers before the first look.
        asked_at = 0.0 if shared.wakes else time.monotonic()
        while (now := time.monotonic()) < deadline:
            if answers():
                return True
            if now - asked_at >= ASK_SECONDS:
                asked_at = now
                status = self._status(project_id)
                if status == "sleeping" and not (shared.wakes and self._wake(project_id)):
                    return False
                if status not in REACHABLE:
                    return False
                if status == "active":
                    self._mend(project_id)
            time.sleep(LOOK_SECONDS)
        return False

    def _wake(self, project_id: str) -> bool:
        try:
            with self._infra.database.transaction() as tx:
                lifecycle.wake(tx, project_id, owner_id=projects.owner_of(tx, project_id))
        except ProjectBusy as busy:
            return busy.status == "active"
        except projects.ProjectNotFound:
            return False
        return True

    def _mend(self, project_id: str) -> None:
        """Have a project looked at whose data API is missing, without waiting for the next sweep."""
        with suppress(projects.ProjectNotFound), self._infra.database.transaction() as tx:
            lifecycle.mend(tx, project_id, owner_id=projects.owner_of(tx, project_id))

    def _status(self, project_id: str) -> str | None:
        with self._infra.database.autocommit() as tx:
            return projects.status_of(tx, project_id)

    def _wakes(self, asked: UnservedRequest) -> bool:
        """Return whether a request is one of a client that wants something of the project. Raises PgrstError (401)."""
        if asked.method in ("HEAD", "OPTIONS") or asked.path in ("", "/"):
            return False
        if asked.gated:
            if not asked.key:
                raise PgrstError(
                    "401", "No API key found in request", None, "Send the key as apikey header", status=401
                )
            try:
                self._identify(asked.project_id, f"Bearer {asked.key}")
            except PgrstError as fault:
                hint = "Double check your API key."
                raise PgrstError("401", "Invalid API key", None, hint, status=401, headers=fault.headers) from None
            return True
        if asked.authorization is not None:
            self._identify(asked.project_id, asked.authorization)
            return True
        return _NO_CLIENT.search(asked.agent) is None

    def _identify(self, project_id: str, authorization: str) -> None:
        try:
            with self._infra.database.autocommit() as tx:
                known = secrets.read_all(tx, self._infra.vault, project_id)
            secret, keys = data_plane.jwt_secret(known), api_keys.accepted(known)
        except (Refused, KeyError):
            raise PgrstError("PGRST300", "Server lacks JWT secret") from None
        role = names.roles(project_id).anon
        bearer.identify(
            authorization,
            DataConfig(jwt_secret=secret, db_anon_role=role, jwt_role_claim_key=".db_role", launchdb_api_keys=keys),
        )

"""Sign-in, refresh and GET /user of a project's Auth beside a bare Flask view, asked by turns over kept connections."""

from __future__ import annotations

import secrets
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from catalog import names
from catalog import secrets as kept
from catalog import settings as project_settings
from catalog.settings_model import ProjectSettings
from config.settings import CHECKOUT
from infra.instances.auth_files import AuthFiles, AuthSpec
from infra.pipeline import spawn
from infra.secrets import tokens
from scripts.bench.figures import Figure, exit_status, percentile, print_figures
from scripts.bench.installation import free_port, installation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scripts.bench.installation import BenchInstallation

ROUNDS, SIGN_INS, WARM_ROUNDS = 1000, 60, 30
START_SECONDS = 30.0
EMAIL, PASSWORD = "bench@example.com", "correct horse"
RATE = 100_000
LEAST_RATE = 0.5


@contextmanager
def served(program: str) -> Iterator[httpx.Client]:
    """Serve an application of `auth_apps` until the block ends; yields a client with a kept connection."""
    port = free_port()
    process = spawn(
        [Path(sys.executable).with_name("gunicorn"), "-w", "1", "-k", "gthread", "--threads", "16",
         "-b", f"127.0.0.1:{port}", "--no-control-socket", f"scripts.bench.auth_apps:{program}"],
        cwd=CHECKOUT,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60.0) as client:
            deadline = time.monotonic() + START_SECONDS
            while True:
                try:
                    client.get("/")
                    break
                except httpx.TransportError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
            yield client
    finally:
        process.terminate()
        process.wait()


def prepare(at: BenchInstallation, folder: Path) -> AuthSpec:
    """Make a project and the file by which Auth serves it; return what stands in that."""
    project: str = at.create("bench", wait_seconds=60)["project"]["id"]
    roles = names.roles(project)
    with at.infra.database.autocommit() as tx:
        known = kept.read_all(tx, at.infra.vault, project)
    secret = secrets.token_urlsafe(32)
    chosen = ProjectSettings().model_copy(
        update={"sign_in_rate_per_minute": RATE, "refresh_rate_per_minute": RATE, "access_token_seconds": 3600}
    )
    spec = AuthSpec(
        project_id=project,
        url=f"http://bench.test/project/{project}",
        db_uri=at.infra.databases.uri(project, roles.auth, known[names.password(roles.auth)]),
        jwt_secret=secret,
        signing_key=secret,
        roles={"anon": roles.anon, "authenticated": roles.authenticated, "service_role": roles.service},
        settings=project_settings.as_json(chosen),
    )
    AuthFiles(folder).ensure(spec)
    return spec


@dataclass
class SignedIn:
    """Somebody who signs in, refreshes and looks at themselves, over and over."""

    client: httpx.Client
    base: str
    key: str
    session: dict[str, Any]

    @classmethod
    def join(cls, client: httpx.Client, spec: AuthSpec) -> SignedIn:
        """Sign up."""
        claims = {"role": "anon", "exp": int(time.time()) + 3600}
        made = cls(client, f"/project/{spec.project_id}/auth/v1", tokens.sign_token(claims, spec.jwt_secret), {})
        made.session = made._post("/signup", {"email": EMAIL, "password": PASSWORD})
        return made

    def look(self) -> None:
        """Ask GET /user."""
        headers = {"apikey": self.key, "Authorization": f"Bearer {self.session['access_token']}"}
        self.client.get(f"{self.base}/user", headers=headers).raise_for_status()

    def refresh(self) -> None:
        """Replace the refresh token by the next."""
        body = {"refresh_token": self.session["refresh_token"]}
        self.session = self._post("/token?grant_type=refresh_token", body)

    def sign_in(self) -> None:
        """Begin a session by password."""
        self._post("/token?grant_type=password", {"email": EMAIL, "password": PASSWORD})

    def _post(self, path: str, body: dict[str, str]) -> dict[str, Any]:
        answer = self.client.post(f"{self.base}{path}", json=body, headers={"apikey": self.key})
        answer.raise_for_status()
        said: dict[str, Any] = answer.json()
        return said


def by_turns(rounds: int, **ways: Callable[[], object]) -> dict[str, list[float]]:
    """Return the milliseconds of each call of each way, asked by turns."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-min(WARM_ROUNDS, rounds // 4), rounds):
        for name, ask in ways.items():
            began = time.perf_counter()
            ask()
            if number >= 0:
                took[name].append((time.perf_counter() - began) * 1000)
    return took


def figures(took: dict[str, list[float]], floor: str) -> list[Figure]:
    """Return medians and 95th percentiles beside those of the floor; how often they can be asked is gated."""
    found = []
    for name, times in took.items():
        for share, word in ((0.5, "p50"), (0.95, "p95")):
            beside = None if name == floor else percentile(took[floor], share)
            found.append(Figure(f"{name.replace('_', ' ')}, {word}", percentile(times, share), "ms", beside))
        if name != floor:
            rate = percentile(took[floor], 0.5) / percentile(times, 0.5)
            aim = "" if name == "sign_in" else f"at least {LEAST_RATE}"
            reached = None if name == "sign_in" else rate >= LEAST_RATE
            found.append(Figure(f"{name.replace('_', ' ')}, rate beside the bare view", rate, "", None, aim, reached))
    return found


def main() -> int:
    """Measure, print, clean up; return 1 when an aim is missed."""
    with installation() as at, tempfile.TemporaryDirectory(prefix="ldb-") as place, ExitStack() as stack:
        spec = prepare(at, Path(place))
        program = f"auth({place!r}, {at.settings.database_url!r}, {at.settings.redis_url!r})"
        person = SignedIn.join(stack.enter_context(served(program)), spec)
        floor = stack.enter_context(served(f"bare({spec.db_uri!r})"))
        row, check = f"/row/{person.session['user']['id']}", {"password": PASSWORD}
        light = by_turns(
            ROUNDS,
            one_SELECT=lambda: floor.get(row).raise_for_status(),
            user=person.look,
            refresh=person.refresh,
        )
        heavy = by_turns(
            SIGN_INS,
            one_Argon2_check=lambda: floor.post("/check", json=check).raise_for_status(),
            sign_in=person.sign_in,
        )
        found = [*figures(light, "one_SELECT"), *figures(heavy, "one_Argon2_check")]
    print_figures("Auth beside a bare Flask view", found)
    return exit_status(found)


if __name__ == "__main__":
    sys.exit(main())

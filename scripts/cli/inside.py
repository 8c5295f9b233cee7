"""On the host of an installation in containers: commands that need its servers run where these are reached.

Postgres, the secrets and the API's own port are inside; so is `launchdb`, in the container of the platform API, and for
what takes the administrator or all secrets in a worker's.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from config.client import load_client_settings
from config.installation import find_home, program_environment
from infra import pipeline
from infra.errors import Unavailable
from infra.host import docker_cli

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTAINER = "launchdb-platform-api"
# The API has neither the administrator nor all secrets, nor may it ask for containers.
WORKER = "launchdb-worker"
WORKERS = {
    "db": {"inventory", "dsn", "migrate"},
    "secrets": {"check"},
    "backups": {"offsite", "pull", "restore-platform", "adopt"},
}
# The other machine is reached from there alone.
OF_WORKERS = frozenset({"--remote"})
# What acts on the machine, or is a service.
ON_THE_HOST = frozenset(
    {"init", "up", "down", "status", "logs", "verify", "update", "rollback", "doctor", "login", "serve", "worker"}
    | {"scheduler"}
)
_HELP = ("-h", "--help", "--version")
ANSWER_SECONDS = 60.0


def forward(arguments: Sequence[str]) -> None:
    """Become the same command inside, where that is its place; return where it is not. Raises Refused."""
    argv = forwarded(arguments)
    if argv is not None:
        _refuse_absent(argv[-len(arguments) - 2])
        pipeline.exec_program(argv, {**program_environment(), **_passed()})


def _refuse_absent(container: str) -> None:
    """Raise Refused, Unavailable when there is nobody of this home's to hand a command to."""
    from scripts.stack.stack import refuse_others  # noqa: PLC0415 - only a host's command pays for loading it

    if (home := find_home()) is not None:
        refuse_others(home)
    if not docker_cli.is_running(container):
        raise Unavailable(
            f"{container} does not run; `launchdb status` shows what does, `launchdb up --docker` starts it"
        )


def forwarded(arguments: Sequence[str]) -> list[str] | None:
    """Return the command line that runs a command inside, None where its place is here.

    A token goes along by its variable's name, never by value.
    """
    words = [word for word in arguments if not word.startswith("-")]
    noun = next(iter(words), None)
    if noun is None or noun in ON_THE_HOST or any(word in _HELP for word in arguments):
        return None
    # Whoever names an installation means its API, from wherever they are.
    if find_home() is None or load_client_settings().url:
        return None
    terminal = ["--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else []
    named = [part for name in _passed() for part in ("--env", name)]
    for_worker = not WORKERS.get(noun, set()).isdisjoint(words[1:2]) or not OF_WORKERS.isdisjoint(arguments)
    container = WORKER if for_worker else CONTAINER
    return ["docker", "exec", "--interactive", *terminal, *named, container, "launchdb", *arguments]


def answer(*words: str, seconds: float = ANSWER_SECONDS) -> str:
    """Return what a command prints inside. Its exit code is no matter: whether it is well is shown, not asked.

    Raises Refused, Unavailable when it cannot be run.
    """
    return docker_cli.execute(CONTAINER, ["sh", "-c", 'launchdb "$@" || true', "sh", *words], seconds=seconds)


def _passed() -> dict[str, str]:
    client = load_client_settings()
    return {
        name: value for name, value in (("LAUNCHDB_PROJECT", client.project), ("LAUNCHDB_TOKEN", client.token)) if value
    }

"""launchdb up --docker: the installation in containers, from what `init` made to an answering project."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

from config.surroundings import began_at
from infra.errors import InfraError
from infra.host import docker_cli, home
from scripts.cli.errors import CliError
from scripts.cli.installation.demo import OperatorRecord, ensure_demo
from scripts.cli.output import format_pairs, print_json, print_lines, print_note
from scripts.stack import start, versions
from scripts.stack.host_lock import host_lock
from scripts.stack.stack import API, Stack

if TYPE_CHECKING:
    from pathlib import Path

    from config.settings import Settings


def serve_in_containers(folder: Path, *, detach: bool, as_json: bool, demo: bool = True) -> None:
    """Start everything, furnish it at the first start, and wait for Ctrl-C. Raises CliError, Refused, Unavailable."""
    began = began_at()
    there = Stack.of(folder)
    if unended := versions.read(there.home, there.settings.version).unfinished:
        print_note(unended)
    try:
        with host_lock(folder, "up --docker"):
            start.bring_up(there, print_note)
            operator = ensure_demo(there.settings, _account, demo=demo)
            home.give_to_containers(folder / "operator.json")
        print_note(f"ready after {time.time() - began:.1f} s")
        _summarise(folder, operator, detach=detach, as_json=as_json)
        if not detach:
            signal.pause()
    except KeyboardInterrupt:
        _stop(there)
        raise
    except (CliError, InfraError):
        # Left as it is: its logs say why, and the next start goes on from here.
        print_note("what runs goes on running; `launchdb status` shows it, `launchdb down` stops it")
        raise


def _stop(there: Stack) -> None:
    """Stop in order; a second Ctrl-C does not cut it short."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with host_lock(there.home, "up --docker", wait=True):
        start.take_down(there, print_note)


def _account(_settings: Settings, email: str, password: str) -> bool:
    """Ensure the operator, with this password; return whether they were made. Postgres is reached from inside alone."""
    words = ["launchdb", "owners", "create", email, "--operator", "--anew", "--password-stdin", "--json"]
    said = docker_cli.execute(API, words, feed=f"{password}\n".encode(), seconds=60)
    return bool(json.loads(said)["created"])


def _summarise(folder: Path, operator: OperatorRecord, *, detach: bool, as_json: bool) -> None:
    if as_json:
        print_json(operator.document())
        return
    print_lines(["", *format_pairs(operator.known()), "", f"all of this: {folder}/operator.json"])
    print_lines(["next:", *(f"  {command}" for command in operator.next_commands(folder))])
    print_lines(["logs: `launchdb logs`; " + ("`launchdb down` stops it" if detach else "Ctrl-C stops it")])

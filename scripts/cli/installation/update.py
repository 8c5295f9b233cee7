"""launchdb update: another version, one service after the other, and back again when it is not well."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from config import installation
from infra.host.machine import ShellOutside
from scripts.cli.errors import NOT_FOUND, CliError
from scripts.cli.installation import verify
from scripts.cli.output import json_option, print_json, print_lines, print_note
from scripts.stack import update as updates
from scripts.stack import verify as trials
from scripts.stack.checkout import Checkout
from scripts.stack.host_lock import host_lock
from scripts.stack.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from scripts.stack.update import UpdateResult


# By scripts/host.sh alone: the checkout that it is of, where this process runs in the image of the host commands.
by_shell = click.option("--by-shell", "folder", type=click.Path(path_type=Path), hidden=True)


@click.command()
@click.argument("version", required=False)
@click.option("--no-backup", is_flag=True, help="Do not back everything up first.")
@by_shell
@json_option
def update(*, version: str | None, no_backup: bool, folder: Path | None, as_json: bool) -> None:
    """Update to VERSION, a release, tag or branch; without one, to what the checkout is.

    Everything is backed up, images are built, the schema is brought on, and services are changed one after the other
    while the others serve. Then the installation is verified; when it is not well, the version of before runs again.
    """
    there = find_installation()
    with host_lock(there.home, "update"), hangup_as_interrupt():
        new = updates.prepare_update(there, version, code_of(folder), print_note)
        if folder is not None:
            # A later version brings its own services, and knows how they follow each other.
            become(new, "update", new, *chosen("--no-backup", no_backup), *chosen("--json", as_json))
            return
        done = updates.update(there, new, passes_verification, print_note, backup=not no_backup)
    print_result(done, as_json=as_json)


def code_of(folder: Path | None) -> Checkout:
    """Return the checkout: this one, or that of the shell outside, which says where it is."""
    return Checkout.here() if folder is None else Checkout.by_shell(folder, _shell())


def become(version: str, *words: str) -> None:
    """Ask the shell outside to go on, once this process has ended, with a command in the image of a version."""
    _shell().become(version, *words)


def chosen(option: str, given: bool) -> list[str]:
    """Return a flag as it was given."""
    return [option] if given else []


def _shell() -> ShellOutside:
    return ShellOutside(sys.stdout.buffer, sys.stdin.buffer)


def find_installation() -> Stack:
    """Return the installation of this host. Raises CliError when there is none in containers."""
    home = installation.find_home()
    if home is None:
        raise CliError("this is for installations in containers; an embedded one is updated by its checkout", NOT_FOUND)
    return Stack.of(home)


@contextmanager
def hangup_as_interrupt() -> Iterator[None]:
    """Treat the end of a session, or of the machine, as Ctrl-C: then the version of before runs again."""
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def passes_verification(there: Stack) -> bool:
    """Return whether the installation does what clients rely on."""
    trial = trials.VerifyTrial(
        there.settings, trials.open_trial_client(there.settings), verify.ensure_account_inside, trials.leftovers_inside
    )
    try:
        return all(step.outcome == "passed" for step in verify.run_steps(trial))
    finally:
        trial.http.close()


def print_result(done: UpdateResult, *, as_json: bool) -> None:
    """Print what runs now."""
    if as_json:
        print_json(asdict(done))
        return
    print_lines(
        [f"{done.version} runs" + (f"; `launchdb rollback` goes back to {done.previous}" if done.previous else "")]
    )

"""launchdb up: one command from nothing to an answering project, and again to what was there."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import httpx

from config.installation import default_home, is_containers_home
from config.settings import Settings, load
from config.surroundings import began_at
from infra import files
from infra.embedded import launch
from infra.embedded.report import FAULT, READY, read
from scripts.cli.errors import NOT_FOUND, CliError
from scripts.cli.installation import up_docker
from scripts.cli.installation.demo import OperatorRecord, ensure_demo
from scripts.cli.output import format_pairs, json_option, print_json, print_lines, print_note

if TYPE_CHECKING:
    import subprocess
    from types import FrameType

READY_SECONDS = 60.0
# Less than a project's database and some log of Postgres need.
SCARCE_MB = 48


@click.command()
@click.option("--home", type=click.Path(file_okay=False), help="Folder of all state (LAUNCHDB_HOME).")
@click.option("--port", type=click.IntRange(1, 65535), help="Public port on the loopback address (LAUNCHDB_PORT).")
@click.option("--detach", is_flag=True, help="Return when all is ready; `launchdb down` stops it.")
@click.option("--docker", "in_docker", is_flag=True, help="Start the containers of a home that `launchdb init` made.")
@click.option("--without-demo", is_flag=True, help="Make no project `demo`, as in a home that is to be restored.")
@json_option
def up(*, home: str | None, port: int | None, detach: bool, in_docker: bool, without_demo: bool, as_json: bool) -> None:
    """Start everything, provision the project `demo` at the first start, and serve until Ctrl-C.

    A home that holds backups of a platform and no project is one to be restored: it gets no `demo` either.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    if in_docker:
        up_docker.serve_in_containers(_docker_home(home), detach=detach, as_json=as_json, demo=not without_demo)
        return
    began = began_at()
    over = {"LAUNCHDB_HOME": home or "", "LAUNCHDB_PORT": str(port or "")}
    settings = load(over={name: value for name, value in over.items() if value})
    process = launch.launch(settings, detached=detach)
    try:
        _follow(process)
        settings = load(over={"LAUNCHDB_HOME": str(settings.home), "LAUNCHDB_PORT": str(settings.port)})
        _wait_until_ready(settings, process)
        operator = ensure_demo(settings, demo=not without_demo)
        print_note(f"ready after {time.time() - began:.1f} s")
        _summarise(settings, operator, as_json=as_json, detach=detach)
        if not detach:
            process.wait()
    except CliError as error:
        room = files.free_mb(settings.home)
        _stop(process)
        if room < SCARCE_MB and "disk is full" not in str(error):
            raise CliError(f"the disk is full ({room} MB are left); free some space and start again: {error}") from None
        raise
    except BaseException:
        _stop(process)
        raise
    if not detach and process.returncode:
        raise CliError(f"the supervisor ended with exit status {process.returncode}; see {settings.home}/log")


def _docker_home(named: str | None) -> Path:
    folder = Path(named).expanduser().resolve() if named else default_home()
    if not is_containers_home(folder):
        raise CliError(f"there is no installation in containers in {folder}; `launchdb init` makes one", NOT_FOUND)
    return folder


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _follow(process: subprocess.Popen[bytes]) -> None:
    if process.stdout is None:
        return
    for event, message in read(process.stdout):
        if event == FAULT:
            process.wait()
            raise CliError(message)
        print_note(message)
        if event == READY:
            return
    raise CliError(f"the supervisor ended with exit status {process.wait()} before it was ready")


def _wait_until_ready(settings: Settings, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not _is_ready(settings.base_url):
        if process.poll() is not None:
            raise CliError(f"the supervisor ended with exit status {process.returncode}; see {settings.home}/log")
        if time.monotonic() > deadline:
            raise CliError(f"the API is not ready after {READY_SECONDS:g} s; see {settings.home}/log/api.log")
        time.sleep(0.05)
    print_note(f"API answers on {settings.base_url}")


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/ready", timeout=2).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop in order; a second Ctrl-C does not cut it short."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if process.poll() is None:
        print_note("stopping: workers, API, scheduler, Valkey, Postgres")
        process.terminate()
        process.wait()


def _summarise(settings: Settings, operator: OperatorRecord, *, as_json: bool, detach: bool) -> None:
    if as_json:
        print_json(operator.document())
        return
    print_lines(["", *format_pairs(operator.known()), "", f"all of this: {settings.home}/operator.json"])
    print_lines(["next:", *(f"  {command}" for command in operator.next_commands(settings.home))])
    print_lines([f"logs: {settings.home}/log; " + ("`launchdb down` stops it" if detach else "Ctrl-C stops it")])

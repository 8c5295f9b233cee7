"""launchdb verify: the guide's verification after a deployment, with a throw-away owner and project."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from config import installation
from infra.host import docker_cli
from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import DONE, FAILURE, CliError
from scripts.cli.output import json_option, print_json, print_note
from scripts.cli.owners.account import ensure_owner
from scripts.cli.target import open_home
from scripts.stack import verify as trials
from scripts.stack.stack import API, refuse_others

if TYPE_CHECKING:
    from config.settings import Settings
    from scripts.stack.verify import VerifyTrial


@dataclass(frozen=True)
class VerifyStep:
    """What became of one step. outcome: passed, failed or skipped."""

    step: str
    outcome: str
    detail: str
    seconds: float


@click.command()
@json_option
@pass_session
def verify(session: CliSession, *, as_json: bool) -> int:
    """Prove that the installation does what clients rely on, end to end; exit 1, naming the step, when it does not.

    Makes an owner and a project, writes and reads a row through the public URL, and removes all of it again, also
    when a step fails.
    """
    trial = _trial(session)
    try:
        done = run_steps(trial)
    finally:
        trial.http.close()
    if as_json:
        print_json({"url": trial.settings.base_url, "steps": [asdict(step) for step in done]})
    return DONE if all(step.outcome == "passed" for step in done) else FAILURE


def run_steps(trial: VerifyTrial) -> list[VerifyStep]:
    """Take every step until one fails, then clean up; tell of each as it ends."""
    done: list[VerifyStep] = []
    try:
        for title, act in trials.STEPS:
            failed = any(step.outcome == "failed" for step in done)
            done.append(VerifyStep(title, "skipped", "", 0.0) if failed else _taken(title, trial, act))
            number = f"[{len(done)}/{len(trials.STEPS)}]"
            print_note(f"{number} {title}: {done[-1].outcome}" + (f" - {done[-1].detail}" if done[-1].detail else ""))
    finally:
        cleaned = _taken("cleaned up", trial, _cleaned)
        print_note(f"{cleaned.step}: {cleaned.outcome}" + (f" - {cleaned.detail}" if cleaned.detail else ""))
    return [*done, cleaned]


def _taken(title: str, trial: VerifyTrial, act: Any) -> VerifyStep:
    began = time.monotonic()
    try:
        outcome, detail = "passed", act(trial)
    except trials.FAULTS as error:
        outcome, detail = "failed", f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
    return VerifyStep(title, outcome, detail, round(time.monotonic() - began, 3))


def _cleaned(trial: VerifyTrial) -> str:
    trials.clean_up(trial)
    return "owner and project are gone"


def _trial(session: CliSession) -> VerifyTrial:
    home = installation.find_home()
    if home is not None:
        refuse_others(home)
        settings = installation.settings_of(home)
        return trials.VerifyTrial(
            settings, trials.open_trial_client(settings), ensure_account_inside, trials.leftovers_inside
        )
    if not session.settings.database_url:
        raise CliError(f"there is no installation in {session.settings.home} that you may read")
    return embedded_trial(session.settings)


def embedded_trial(settings: Settings) -> VerifyTrial:
    """Return a trial of an installation without containers. Raises Unavailable."""
    return trials.VerifyTrial(
        settings,
        trials.open_trial_client(settings),
        lambda email, password: _account(settings, email, password),
        lambda project: _leftovers(settings, project),
    )


def _account(settings: Settings, email: str, password: str) -> None:
    ensure_owner(settings, email, password, operator=False)


def ensure_account_inside(email: str, password: str) -> None:
    """Ensure an owner although nobody may register. Raises Refused, Unavailable."""
    docker_cli.execute(API, ["launchdb", "owners", "create", email, "--password-stdin"], feed=f"{password}\n".encode())


def _leftovers(settings: Settings, project: str) -> list[dict[str, Any]]:
    from catalog import inventory  # noqa: PLC0415 - only an embedded installation is looked at from here

    infra = open_home(settings)
    try:
        with infra.database.transaction() as tx:
            return [asdict(thing) for thing in inventory.take_inventory(tx, infra) if thing.project_id == project]
    finally:
        infra.close()

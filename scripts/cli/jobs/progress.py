"""Follows a job to its end: a bar on a terminal, one line for each step elsewhere; always on standard error."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol, Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from scripts.cli.errors import INTERRUPTED, JOB_FAILED, TIMED_OUT, CliError
from scripts.cli.output import print_json, print_lines, print_note, strip_control

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from scripts.cli.client import Client

FINAL = frozenset({"succeeded", "failed", "cancelled"})
# One long poll. Short, so that a change between two of them is seen soon, and Ctrl-C is heard.
POLL_SECONDS = 2
PAUSE_SECONDS = 0.5
_MARKS = {"succeeded": "done", "skipped": "skipped", "failed": "failed", "undone": "undone"}


class Reporter(Protocol):
    """Shows how far a job is."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""

    def print_line(self, text: str) -> None:
        """Print a line that stays."""

    def update(self, percent: float, doing: str) -> None:
        """Show how far it is and what it does now."""


class PlainReporter:
    """Lines, for logs and pipes."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""

    def print_line(self, text: str) -> None:
        """Print it."""
        print_note(text)

    def update(self, percent: float, doing: str) -> None:
        """A log needs no bar: the lines of the steps say it."""


class BarReporter:
    """A bar under the lines, for people."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("", total=100)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        self._progress.stop()

    def print_line(self, text: str) -> None:
        """Print it above the bar."""
        self._progress.console.print(strip_control(text), markup=False, highlight=False, soft_wrap=True)

    def update(self, percent: float, doing: str) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=percent, description=strip_control(doing))


def reporter() -> Reporter:
    """Return what fits the standard error of this process."""
    console = Console(stderr=True)
    return BarReporter(console) if console.is_terminal else PlainReporter()


class _Story:
    """Tells each step's end and each wait once."""

    def __init__(self, tell: Reporter) -> None:
        self._tell = tell
        self._told: dict[str, str] = {}

    def update(self, job: dict[str, Any]) -> None:
        """Tell what is new."""
        steps = job["steps"]
        for number, step in enumerate(steps, 1):
            said = _MARKS.get(step["status"])
            if said and self._told.get(step["name"]) != said:
                self._told[step["name"]] = said
                self._tell.print_line(f"[{number}/{len(steps)}] {step['title']}: {said}{_took(step)}")
        waiting = (job.get("waitingFor") or {}).get("message") or ""
        if waiting and self._told.get("waiting") != waiting:
            self._tell.print_line(f"waits: {waiting}")
        self._told["waiting"] = waiting
        self._tell.update(job["progress"]["percent"], _doing(job) if not waiting else f"waits: {waiting}")


def follow_job(client: Client, job: dict[str, Any], *, timeout: float | None) -> dict[str, Any]:
    """Wait until the job rests and return it as it is then; Ctrl-C and the time-out detach, the job goes on.

    Raises CliError (124) when `timeout` seconds were not enough, click's Exit (130) after Ctrl-C.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        with reporter() as tell:
            story = _Story(tell)
            story.update(job)
            while job["status"] not in FINAL:
                job = _next(client, job, deadline)
                story.update(job)
    except KeyboardInterrupt:
        print_note(f"\ndetached; the job goes on. Watch it with: launchdb jobs watch {job['id']}")
        raise click.exceptions.Exit(INTERRUPTED) from None
    return job


def wait_for_job(client: Client, answer: dict[str, Any], *, wait: bool, timeout: float | None) -> dict[str, Any]:
    """Wait for the job of a 202 answer, if there is one; return the answer with the job as it is then."""
    job = answer.get("job")
    if job is None:
        return answer
    if not wait:
        print_note(f"accepted; watch it with: launchdb jobs watch {job['id']}")
        return answer
    return {**answer, "job": follow_job(client, job, timeout=timeout)}


def print_outcome(
    answer: dict[str, Any], lines: Callable[[], list[str]], *, as_json: bool, waited: bool = True
) -> None:
    """Print what came of it. Raises CliError (3), after the JSON, when the job was waited for and did not succeed."""
    failed = _failure(answer.get("job")) if waited else None
    if as_json:
        print_json(answer)
    elif failed is None:
        print_lines(lines())
    if failed is not None:
        raise failed


def conclude(
    client: Client, answer: dict[str, Any], told: str, *, no_wait: bool, timeout: float | None, as_json: bool
) -> None:
    """Wait for the job of an answer unless told not to, and print the one line that says what came of it.

    Raises CliError as `print_outcome` does.
    """
    answer = wait_for_job(client, answer, wait=not no_wait, timeout=timeout)
    print_outcome(answer, lambda: ["accepted" if no_wait else told], as_json=as_json, waited=not no_wait)


def remarks(job: dict[str, Any] | None) -> list[str]:
    """Return what the result of a job says beside its success: what did not come back, and what is worth saying."""
    result = (job or {}).get("result") or {}
    lacking = [f"it did not come back: {line}" for line in result.get("lacking") or ()]
    return [*lacking, *(f"note: {line}" for line in result.get("remarks") or ())]


def require_success(job: dict[str, Any]) -> None:
    """Raise CliError (3) unless the job succeeded."""
    failed = _failure(job)
    if failed is not None:
        raise failed


def _failure(job: dict[str, Any] | None) -> CliError | None:
    if job is None or job["status"] == "succeeded":
        return None
    reason = (job.get("error") or {}).get("detail") or f"it was {job['status']}"
    return CliError(
        f"job {job['id']} ({job['kind']}) {job['status']}: {reason}; see `launchdb jobs why {job['id']}`", JOB_FAILED
    )


def _next(client: Client, job: dict[str, Any], deadline: float | None) -> dict[str, Any]:
    left = POLL_SECONDS if deadline is None else min(POLL_SECONDS, deadline - time.monotonic())
    if left <= 0:
        raise CliError(
            f"the time is over and the job is {job['status']}; it goes on: launchdb jobs watch {job['id']}", TIMED_OUT
        )
    asked_at = time.monotonic()
    found: dict[str, Any] = client.get(f"/api/jobs/{job['id']}", wait=max(1, int(left)))
    if found == job and time.monotonic() - asked_at < PAUSE_SECONDS:
        time.sleep(PAUSE_SECONDS)  # the API has no place left for those who wait
    return found


def _doing(job: dict[str, Any]) -> str:
    now = job["progress"]["step"]
    titles = {step["name"]: step["title"] for step in job["steps"]}
    message = job["progress"]["message"]
    done = job.get("estimatedFinishAt")
    due = f"until about {done[11:19]} UTC" if done else ""
    return " ".join(filter(None, (titles.get(now, now or job["status"]), f"({message})" if message else "", due)))


def _took(step: dict[str, Any]) -> str:
    milliseconds = step.get("durationMs")
    message = f" - {step['message']}" if step.get("message") else ""
    return ("" if milliseconds is None else f" ({milliseconds} ms)") + message

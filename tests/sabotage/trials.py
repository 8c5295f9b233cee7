"""Runs tests in a scratch copy of the tree, and says how they ended."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.sabotage.faults import CHECKOUT, PROGRAMS, Fault, one_line

SECONDS = 240.0
GRACE_SECONDS = 20.0


def copy_tree(to: Path) -> None:
    """Copy what git knows of, as it stands in the checkout: changed, or new and not ignored."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=CHECKOUT, capture_output=True, check=True)
    for name in filter(None, done.stdout.decode().split("\0")):
        if (source := CHECKOUT / name).exists():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, to / name, follow_symlinks=False)


@dataclass(frozen=True)
class Told:
    """How a run ended. output: its last words."""

    output: str
    collected: list[str]
    phases: list[dict[str, str]]
    sources: dict[str, str]

    def of(self, test: str) -> list[dict[str, str]]:
        """Return the phases of a test, under all its parameters."""
        return [phase for phase in self.phases if phase["test"].split("[")[0] == test]


class NoReport(Exception):
    """A run did not come to its end; the message says why and gives its last words."""


def run(tree: Path, tests: list[str], *, seconds: float = SECONDS, needs: tuple[str, ...] = tuple(PROGRAMS)) -> Told:
    """Run tests in a copy of the tree, in a process group of their own that ends with them. Raises NoReport."""
    report, output = tree / "told.json", tree / "output.txt"
    without = " or ".join(sorted({"docker", "timing", *PROGRAMS} - set(needs)))
    argv = [sys.executable, "-m", "pytest", "-q", "--tb=short", "--show-capture=no", "-p", "no:cacheprovider"]
    argv += ["-p", "tests.sabotage.report", f"--told={report}", "-m", f"not ({without})", *tests]
    # Nothing of the pytest that runs this, nor what its tests wait for.
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "LAUNCHDB_TEST_"))}
    with output.open("wb") as written:
        process = subprocess.Popen(
            argv,
            cwd=tree,
            env={**ours, "PYTHONPATH": str(tree)},
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            in_time = _ended(process, seconds)
        finally:
            _end(process)
    words = output.read_text(errors="replace")[-3000:]
    if not in_time:
        raise NoReport(f"it did not end within {seconds:.0f} s:\n{words}")
    if not report.exists():
        raise NoReport(f"it ended with {process.returncode} and without a report:\n{words}")
    told: dict[str, Any] = json.loads(report.read_text())
    return Told(words, **told)


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the group: in order first, so that its servers go with it."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        _ended(process, GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def verdict(fault: Fault, told: Told, tree: Path) -> str:
    """Return why the fault does not count as caught; the empty text when it does."""
    if told.collected:
        return f"{fault.test} cannot be collected, so nothing was tried: {told.collected[0]}"
    elsewhere = [file for file in told.sources.values() if not Path(file).is_relative_to(tree)]
    if elsewhere or not told.sources:
        return f"it was not the copy that ran: {elsewhere[:3]}"
    phases = told.of(fault.test)
    before = [phase for phase in phases if phase["phase"] == "setup" and phase["outcome"] == "failed"]
    if before:
        return f"the fixtures of {fault.test} fail ({before[0]['error']}), not its assertion: {before[0]['message']}"
    calls = [phase for phase in phases if phase["phase"] == "call" and phase["outcome"] != "skipped"]
    if not calls:
        return f"{fault.test} did not run here: {told.output}"
    return _judged(fault, [phase for phase in calls if phase["outcome"] == "failed"])


def _judged(fault: Fault, failed: list[dict[str, str]]) -> str:
    if not failed:
        return f"nobody notices: {fault.test} passes although this is no longer kept: {fault.promise}"
    asserted = [phase for phase in failed if phase["error"] in ("AssertionError", "Failed")]
    if not asserted:
        return f"{fault.test} breaks ({failed[0]['error']}) instead of saying what is wrong: {failed[0]['message']}"
    if not any(fault.promise in one_line(phase["message"]) for phase in asserted):
        return f"{fault.test} fails and does not name the promise: {asserted[0]['message']}"
    return ""

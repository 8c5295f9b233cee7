"""A pytest plugin for runs with a planted fault: writes down how each test ended, in which phase and by which error."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

PACKAGES = ("config", "infra", "catalog", "jobs", "workers", "app", "scripts", "tests")
COPY = Path(__file__).parents[2]
# The environment's packages come with the checkout, by a path file of its own: nothing may be found there.
sys.path[:] = [entry for entry in sys.path if Path(entry) == COPY or not (Path(entry) / "tests" / "sabotage").is_dir()]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--told", type=Path, required=True, help="the file in which it is written")


class Report:
    """What is known of a run."""

    def __init__(self) -> None:
        self.collected: list[str] = []  # faults of collecting
        self.phases: list[dict[str, str]] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.collected.append(f"{report.nodeid}: {report.longreprtext[-600:]}")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]):
        report = yield
        raised = call.excinfo
        self.phases.append(
            {
                "test": item.nodeid,
                "phase": report.when,
                "outcome": report.outcome,
                "error": "" if raised is None else raised.type.__name__,
                "message": "" if raised is None else str(raised.value),
            }
        )
        return report

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        sources = {
            name: file
            for name, module in list(sys.modules.items())
            if name.split(".")[0] in PACKAGES and (file := getattr(module, "__file__", None))
        }
        told = {"collected": self.collected, "phases": self.phases, "sources": sources}
        session.config.getoption("told").write_text(json.dumps(told))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Report())

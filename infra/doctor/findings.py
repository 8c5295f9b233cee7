"""A finding, and the register of checks: each is a function that looks, and some have one that mends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from config.logging import scrub
from infra.errors import InfraError

if TYPE_CHECKING:
    from infra.doctor.site import Site

Status = Literal["ok", "info", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """What a check saw.

    evidence  what was looked at and how it is
    remedy    what a person can do about it
    fixable   whether `--fix` can
    subject   which of several things it is about
    """

    status: Status
    evidence: str
    remedy: str = ""
    fixable: bool = False
    subject: str = ""
    check: str = ""


Look = Callable[["Site"], Iterable[Finding]]
# Mends what a finding names; returns what it did. Raises InfraError when it cannot, saying why.
Mend = Callable[["Site", Finding], str]


@dataclass(frozen=True)
class Check:
    """A check. asked: only run when it is named, since it reaches outside or takes long."""

    name: str
    look: Look
    mend: Mend | None
    asked: bool
    containers: bool

    def findings(self, site: Site) -> list[Finding]:
        """Look. A look that is not possible is a finding as well."""
        try:
            found = list(self.look(site))
        except (InfraError, OSError) as error:
            found = [failure(f"could not be looked at: {error}", "see to that first")]
        return [replace(one, check=self.name, evidence=scrub(one.evidence)) for one in found]


CHECKS: dict[str, Check] = {}


def check(
    name: str, *, mend: Mend | None = None, asked: bool = False, containers: bool = True
) -> Callable[[Look], Look]:
    """Register a check under its name; `containers`: it is about an installation in containers alone."""

    def register(look: Look) -> Look:
        if name in CHECKS:
            raise ValueError(f"two checks are called {name}")
        CHECKS[name] = Check(name, look, mend, asked, containers)
        return look

    return register


def select_checks(wanted: str | None, *, containers: bool) -> list[Check]:
    """Return the checks of that name, or of the group of that name; with none, all that apply here."""
    if wanted is None:
        return [one for one in CHECKS.values() if not one.asked and (containers or not one.containers)]
    group = [one for name, one in CHECKS.items() if name.startswith(f"{wanted}.") and not one.asked]
    return [CHECKS[wanted]] if wanted in CHECKS else group


def ok(evidence: str, subject: str = "") -> Finding:
    """All is well."""
    return Finding("ok", evidence, subject=subject)


def info(evidence: str, remedy: str = "", subject: str = "") -> Finding:
    """Worth knowing; nothing has to be done."""
    return Finding("info", evidence, remedy, subject=subject)


def warning(evidence: str, remedy: str, *, fixable: bool = False, subject: str = "") -> Finding:
    """It works, but not as it should."""
    return Finding("warning", evidence, remedy, fixable, subject)


def failure(evidence: str, remedy: str, *, fixable: bool = False, subject: str = "") -> Finding:
    """It does not work, or is not safe."""
    return Finding("failure", evidence, remedy, fixable, subject)

"""host.*: whether the machine is large enough, known, on time and current."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from infra.doctor.findings import check, failure, info, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.doctor.findings import Finding
    from infra.doctor.site import Site

# What a machine has, the least it needs, and what is recommended.
NEEDS = {"processors": (2, 4), "GB of memory": (4, 8), "GB of disk": (40, 100)}
# A machine sold as 4 GB shows a little less to its programs, and a disk loses some to its file system.
GENEROUS = 0.92
TESTED = {("ubuntu", "22.04"), ("ubuntu", "20.04"), ("debian", "11"), ("debian", "12"), ("debian", "13")}
UTC_NAMES = ("UTC", "Etc/UTC", "Etc/UCT", "Universal", "Zulu")
STALE_DAYS = 7


@check("host.size")
def machine_size(site: Site) -> Iterator[Finding]:
    """At least 2 processors, 4 GB and 40 GB; better 4, 8 and 100."""
    disk = os.statvfs(site.root)
    found = {
        "processors": float(_processors(site)),
        "GB of memory": _memory_kb(site) / 1_048_576,
        "GB of disk": disk.f_blocks * disk.f_frsize / 1e9,
    }
    for what, has in found.items():
        least, better = NEEDS[what]
        said = f"{has:.0f} {what}" if has >= 10 or has == int(has) else f"{has:.1f} {what}"
        if has < least * GENEROUS:
            yield failure(f"{said}; {least} are needed", f"choose a machine with {better}", subject=what)
        elif has < better * GENEROUS:
            yield warning(f"{said}; {better} are recommended", "watch it as projects are added", subject=what)
        else:
            yield ok(said, what)


@check("host.os")
def operating_system(site: Site) -> Iterator[Finding]:
    """A system that LaunchDB is tried on."""
    lines = (line.partition("=")[::2] for line in (site.text("etc/os-release") or "").splitlines())
    found = {name: value.strip("\"'") for name, value in lines}
    name, version = found.get("ID", "unknown"), found.get("VERSION_ID", "")
    said = found.get("PRETTY_NAME") or f"{name} {version}".strip()
    if (name, version) in TESTED:
        yield ok(said)
    else:
        yield warning(f"{said} is untested", "Ubuntu 22.04 is recommended; Ubuntu 20.04 and Debian 11 to 13 are tested")


@check("host.clock")
def clock(site: Site) -> Iterator[Finding]:
    """The time zone is UTC, so that schedules and logs say what they mean, and somebody keeps the clock."""
    zone = _zone(site)
    if zone in UTC_NAMES:
        yield ok(f"the time zone is {zone}", "timezone")
    else:
        yield warning(f"the time zone is {zone}", "timedatectl set-timezone UTC", subject="timezone")
    keepers = ("run/systemd/timesync/synchronized", "run/chrony", "var/lib/chrony/drift", "var/lib/ntp", "run/ntpd.pid")
    if any((site.root / path).exists() for path in keepers):
        yield ok("the clock is kept by a time service", "clock")
    else:
        yield info("no time service was found", "apt-get install systemd-timesyncd", subject="clock")


@check("host.packages")
def security_updates(site: Site) -> Iterator[Finding]:
    """Security updates have been taken, and take effect."""
    if any((site.root / path).exists() for path in ("var/run/reboot-required", "run/reboot-required")):
        yield warning("updates wait for a restart of the machine", "reboot, when it suits", subject="restart")
    lists = [path.stat().st_mtime for path in (site.root / "var/lib/apt/lists").glob("*_*")]
    days = (time.time() - max(lists, default=0.0)) / 86_400
    if not lists or days > STALE_DAYS:
        yield info("the list of packages is old", "apt-get update && apt-get upgrade", subject="updates")
    else:
        yield ok(f"the list of packages is {days:.0f} days old", "updates")
    if not (site.root / "etc/fail2ban").exists():
        yield info("fail2ban is not installed", "optional: apt-get install fail2ban", subject="fail2ban")


def _processors(site: Site) -> int:
    lines = (site.text("proc/cpuinfo") or "").splitlines()
    return sum(line.startswith("processor") for line in lines) or os.cpu_count() or 1


def _memory_kb(site: Site) -> int:
    for line in (site.text("proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1])
    return 0


def _zone(site: Site) -> str:
    named = (site.text("etc/timezone") or "").strip()
    link = site.root / "etc/localtime"
    if not link.is_symlink():
        return named or "UTC"  # without the file, the C library takes UTC
    return str(link.readlink()).partition("zoneinfo/")[2] or named

"""One supervised process: how it is started, watched, restarted and stopped."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from infra.embedded.output import OutputPipe, ProcessLog
from infra.pipeline import Account, end_group, spawn

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

# The first restart comes at once; one that keeps dying is tried ever more seldom, so that it burns no CPU.
PAUSES_SECONDS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
# Having lived this long, a process counts as well again.
WELL_SECONDS = 30.0


@dataclass(frozen=True)
class ProcessSpec:
    """What to run. `stop` asks it to leave in order; after `grace_seconds` it is killed with all it started."""

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] | None = None
    account: Account | None = None
    cwd: Path = Path("/")
    stop: int = signal.SIGTERM
    orphaned: int = signal.SIGKILL
    grace_seconds: float = 30.0
    once: bool = False


@dataclass
class Child:
    """The process of a spec, or the time at which it is to be started again."""

    spec: ProcessSpec
    process: subprocess.Popen[bytes] | None = None
    pidfd: int = -1
    deaths: int = 0
    started_at: float = 0.0
    due_at: float | None = None
    status: int | None = None
    pipe: OutputPipe = field(init=False)

    def start(self) -> None:
        """Start it. Raises Refused when the program cannot be started at all, Unavailable or OSError when not now."""
        self.due_at = None
        self.started_at = time.monotonic()
        self.pipe = OutputPipe(ProcessLog(self.spec.log), self.spec.name)
        try:
            self.process = spawn(
                self.spec.argv,
                env=self.spec.env,
                account=self.spec.account,
                cwd=self.spec.cwd,
                stdout=self.pipe.write_end,
                stderr=self.pipe.write_end,
                death_signal=self.spec.orphaned,
            )
        except BaseException:
            self.pipe.close()
            raise
        finally:
            os.close(self.pipe.write_end)
        try:
            self.pidfd = os.pidfd_open(self.process.pid)
        except OSError:
            # Nobody would see its end, and a second one be started beside it.
            self.kill()
            self.process.wait()
            self.process = None
            self.pipe.close()
            raise

    def died(self) -> int:
        """Take note of its end, end what it left behind; return its exit status."""
        if self.process is None:
            return 0
        status = self.process.wait()
        end_group(self.process, signal.SIGKILL)
        os.close(self.pidfd)
        self.process, self.pidfd = None, -1
        if time.monotonic() - self.started_at > WELL_SECONDS:
            self.deaths = 0
        self.status = status
        if not self.spec.once:
            self.put_off()
        return status

    def put_off(self) -> None:
        """Delay the next start by a pause that grows with the deaths in a row."""
        self.due_at = time.monotonic() + PAUSES_SECONDS[min(self.deaths, len(PAUSES_SECONDS) - 1)]
        self.deaths += 1

    def ask_to_stop(self) -> None:
        """Send the signal that means: leave in order."""
        self.due_at = None
        if self.process is not None:
            self.process.send_signal(self.spec.stop)

    def kill(self) -> None:
        """End it and all it has started."""
        if self.process is not None:
            end_group(self.process, signal.SIGKILL)

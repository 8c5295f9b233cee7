"""Runs children in one thread that sleeps until something happens: output, an end, a signal, a restart that is due."""

from __future__ import annotations

import os
import selectors
import signal
import time
from typing import TYPE_CHECKING

from infra.embedded.child import Child, ProcessSpec
from infra.errors import InfraError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from infra.embedded.output import OutputPipe, ProcessLog

LOOK_SECONDS = 0.02


class Supervisor:
    """Starts what it is told to, restarts what dies, stops it in the order it is told."""

    def __init__(self, log: ProcessLog) -> None:
        self.stopping = False
        self.children: dict[str, Child] = {}
        self._log = log
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._woken)

    def listen(self) -> None:
        """Take SIGTERM, SIGINT and SIGHUP as the wish to stop. Main thread only."""
        signal.set_wakeup_fd(self._wake_write)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)

    def start(self, spec: ProcessSpec) -> Child:
        """Start a child and keep it running until it is stopped. Raises Refused when it cannot be started."""
        child = self.children[spec.name] = Child(spec)
        self._start(child)
        return child

    def wait(self, until: Callable[[], bool], *, seconds: float | None = None) -> bool:
        """Serve the children until the condition holds (True), or the time or our stop has come (False)."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not until():
            if self.stopping or (deadline is not None and time.monotonic() > deadline):
                return until()
            self._serve(LOOK_SECONDS if deadline is not None else None)
        return True

    def serve(self) -> None:
        """Serve the children until we are asked to stop."""
        while not self.stopping:
            self._serve(None)

    def stop(self, names: Sequence[str]) -> None:
        """Stop these children together: ask, wait for the longest grace, then kill."""
        leaving = [self.children[name] for name in names if name in self.children]
        for child in leaving:
            child.ask_to_stop()
        deadline = time.monotonic() + max((child.spec.grace_seconds for child in leaving), default=0)
        while any(child.process for child in leaving):
            if time.monotonic() > deadline:
                self._note(f"killed after its grace: {', '.join(c.spec.name for c in leaving if c.process)}")
                for child in leaving:
                    child.kill()
            self._serve(LOOK_SECONDS * 5, restart=False)
        for child in leaving:
            del self.children[child.spec.name]

    def _start(self, child: Child) -> None:
        child.start()
        pipe = child.pipe  # a restart makes another one, while this one may still hold last words
        self._selector.register(pipe.read_end, selectors.EVENT_READ, lambda: self._heard(pipe))
        self._selector.register(child.pidfd, selectors.EVENT_READ, lambda: self._ended(child))
        self._note(f"started {child.spec.name} as process {child.process.pid if child.process else '?'}")

    def _serve(self, seconds: float | None, *, restart: bool = True) -> None:
        due = [child.due_at for child in self.children.values() if child.due_at is not None] if restart else []
        if due:
            pause = max(0.0, min(due) - time.monotonic())
            seconds = pause if seconds is None else min(seconds, pause)
        for key, _ in self._selector.select(seconds):
            key.data()
        if restart and not self.stopping:
            self._restart_due()

    def _restart_due(self) -> None:
        for child in list(self.children.values()):
            if child.due_at is None or child.due_at > time.monotonic():
                continue
            try:
                self._start(child)
            except (InfraError, OSError) as error:
                child.put_off()
                self._note(str(error))

    def _heard(self, pipe: OutputPipe) -> None:
        if not pipe.pump():
            self._selector.unregister(pipe.read_end)
            pipe.close()

    def _ended(self, child: Child) -> None:
        self._selector.unregister(child.pidfd)
        status = child.died()
        self._note(f"{child.spec.name} ended with exit status {status}")

    def _woken(self) -> None:
        os.read(self._wake_read, 4096)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def _note(self, text: str) -> None:
        self._log.write(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), text.encode())

"""Argon2id, with a cap on how many hashes are computed at a time: each takes 64 MiB."""

from __future__ import annotations

import secrets
import threading
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from infra.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

TIME_COST, MEMORY_KIB, PARALLELISM = 3, 65_536, 1
WAIT_SECONDS = 10.0


class Passwords:
    """Makes and checks password hashes, `concurrency` at a time; the others wait their turn, but not for ever."""

    def __init__(self, concurrency: int, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._hasher = PasswordHasher(
            time_cost=TIME_COST, memory_cost=MEMORY_KIB, parallelism=PARALLELISM, type=Type.ID
        )
        self._turns = threading.BoundedSemaphore(concurrency)
        self._wait_seconds = wait_seconds

    def hash(self, password: str) -> str:
        """Return the hash to be stored. Raises Unavailable when too many are being computed."""
        with self._turn():
            return self._hasher.hash(password)

    def matches(self, password: str, stored: str | None) -> bool:
        """Return whether the password is the one that was hashed. None, for nobody, costs the same time and never is.

        Raises Unavailable when too many are being computed.
        """
        with self._turn():
            nobody = self._nobody  # made by the first who asks, whoever that is: its cost tells nothing then
            try:
                return self._hasher.verify(stored or nobody, password) and stored is not None
            except (VerificationError, InvalidHashError):
                return False

    @cached_property
    def _nobody(self) -> str:
        return self._hasher.hash(secrets.token_urlsafe())

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=self._wait_seconds):
            raise Unavailable("too many sign-ins at a time; try again")
        try:
            yield
        finally:
            self._turns.release()

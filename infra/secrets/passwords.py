"""Argon2id, with a cap on how many hashes are computed at a time: each takes 64 MiB, and all of a core for a moment."""

from __future__ import annotations

import secrets
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from infra.errors import Unavailable
from infra.priority import step_back_thread
from infra.secrets import foreign_hashes

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
TIME_COST, MEMORY_KIB, PARALLELISM = 3, 65_536, 1
WAIT_SECONDS = 10.0
# How much the threads that compute step back behind all others of this process when there is not enough of the machine.
NICE = 10
# What a hash that was made elsewhere may cost to check: one that asks for more is nobody's, or it would stop everybody.
TIME_COST_MAX, MEMORY_KIB_MAX, PARALLELISM_MAX = 16, 262_144, 16


class Passwords:
    """Makes and checks password hashes, `concurrency` at a time; the others wait their turn, but not for ever.

    They are computed in threads of their own, which give way to those that answer everybody else.
    """

    def __init__(self, concurrency: int, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._hasher = PasswordHasher(
            time_cost=TIME_COST, memory_cost=MEMORY_KIB, parallelism=PARALLELISM, type=Type.ID
        )
        self._threads = ThreadPoolExecutor(concurrency, "password", initializer=step_back_thread, initargs=(NICE,))
        self._wait_seconds = wait_seconds

    def hash(self, password: str) -> str:
        """Return the hash to be stored. Raises Unavailable when too many are being computed."""
        return self._computed(lambda: self._hasher.hash(password))

    def matches(self, password: str, stored: str | None) -> bool:
        """Return whether the password is the one that was hashed. None, for nobody, costs the same time and never is.

        Raises Unavailable when too many are being computed.
        """
        return self._computed(lambda: self._matches(password, stored))

    def takes(self, stored: str) -> bool:
        """Return whether passwords can be checked against a hash: Argon2, or one of `infra.secrets.foreign_hashes`."""
        return foreign_hashes.takes(stored) or _is_argon2(stored)

    def needs_rehash(self, stored: str) -> bool:
        """Return whether a hash that a password has just matched should be replaced by one of ours."""
        return not stored.startswith("$argon2id$") or self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, password: str, stored: str | None) -> bool:
        nobody = self._nobody  # made by the first who asks, whoever that is: its cost tells nothing then
        if stored is not None and foreign_hashes.takes(stored):
            return foreign_hashes.matches(password, stored)
        if stored is not None and not _is_argon2(stored):
            stored = None
        try:
            return self._hasher.verify(stored or nobody, password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False

    @cached_property
    def _nobody(self) -> str:
        return self._hasher.hash(secrets.token_urlsafe())

    def _computed(self, compute: Callable[[], T]) -> T:
        asked: Future[T] = self._threads.submit(compute)
        try:
            return asked.result(timeout=self._wait_seconds)
        except NotInTime:
            if asked.cancel():
                raise Unavailable("too many sign-ins at a time; try again") from None
            return asked.result()  # its turn has come just now


def _is_argon2(stored: str) -> bool:
    try:
        cost = extract_parameters(stored)
    except InvalidHashError:
        return False
    within = cost.memory_cost <= MEMORY_KIB_MAX and cost.parallelism <= PARALLELISM_MAX
    return within and cost.time_cost <= TIME_COST_MAX

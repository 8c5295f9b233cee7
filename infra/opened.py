"""Parts of a whole that are opened when they are first asked for: who does not use one depends on nothing of it."""

from __future__ import annotations

from functools import cached_property
from threading import RLock
from typing import Any, Self, TypeVar, overload

T = TypeVar("T")
_lock = RLock()


class Opened(cached_property[T]):
    """An attribute that is made when it is first asked for: once, however many threads ask."""

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> T: ...
    def __get__(self, instance: object | None, owner: type[Any] | None = None) -> Self | T:
        """Return what was made, or make it."""
        with _lock:
            return super().__get__(instance, owner)


def close_opened(whole: object, *names: str) -> None:
    """Close those of these parts that were opened."""
    for name in names:
        if name in vars(whole):
            vars(whole)[name].close()

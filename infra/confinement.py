"""What a process gives up before it touches what strangers have made: memory, files, and whatever programs could do."""

from __future__ import annotations

import ctypes
import os
import resource
from contextlib import suppress

_LIBC = ctypes.CDLL(None, use_errno=True)
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH, _VERSION = 1, 1
_NO_NEW_PRIVS = 38
# What each version of Landlock knows to refuse: the first thirteen acts on files, then one more each.
_ACTS = {1: 13, 2: 14, 3: 15}
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def confine_process(memory_bytes: int, readable: tuple[str, ...] = ()) -> None:
    """Have this process and its later threads open no file but below `readable`, write none, and stay small.

    Where the kernel cannot keep files away (Landlock), the rest holds. Call it once everything is loaded.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _LIBC.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    with suppress(OSError):
        _refuse_files(readable)


def landlock_version() -> int:
    """Return which version of Landlock the kernel has; 0: none."""
    try:
        return _called(_CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def _refuse_files(readable: tuple[str, ...]) -> None:
    if not (version := landlock_version()):
        return
    acts = (1 << _ACTS.get(version, max(_ACTS.values()))) - 1
    handled = _Ruleset(acts)
    ruleset = _called(_CREATE_RULESET, ctypes.byref(handled), ctypes.sizeof(handled), 0)
    try:
        for path in readable:
            with suppress(FileNotFoundError):
                _allow(ruleset, path)
        _called(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str) -> None:
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _Beneath(_READ_FILE | _READ_FOLDER, folder)
        _called(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(folder)


def _called(*arguments: object) -> int:
    found = int(_LIBC.syscall(*arguments))
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found

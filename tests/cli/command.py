"""A command of the command line, in a process that has imported already what most commands need."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from scripts.cli.__main__ import main
from tests.fixtures.forked import settle

# Each stream of the command by its number, and how its file is opened.
STREAMS = (("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY | os.O_CREAT), ("stderr", os.O_WRONLY | os.O_CREAT))


def run(arguments: tuple[str, ...], environment: dict[str, str], folder: str) -> None:
    """Be the command: its streams are files of the folder, its environment is this and nothing else."""
    settle(environment)
    for number, (name, flags) in enumerate(STREAMS):
        opened = os.open(Path(folder) / name, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.argv = ["launchdb", *arguments]
    main()

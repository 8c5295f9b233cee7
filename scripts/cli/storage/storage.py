"""launchdb storage: the files of a project."""

from __future__ import annotations

import click

from scripts.cli.storage.keys import keys


@click.group()
def storage() -> None:
    """Keys of a project's files."""


storage.add_command(keys)

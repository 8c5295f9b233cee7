"""Entry point of the command line: every noun joins the group here."""

from __future__ import annotations

import sys

from scripts.cli.jobs import jobs
from scripts.cli.login import login
from scripts.cli.owners import owners
from scripts.cli.projects import projects
from scripts.cli.root import cli, run
from scripts.cli.status import status
from scripts.cli.tokens import tokens

for command in (status, login, projects, jobs, owners, tokens):
    cli.add_command(command)


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run())


if __name__ == "__main__":
    main()

"""Entry point of the command line: every noun joins the group here."""

from __future__ import annotations

import sys

from config import surroundings
from scripts.cli.root import cli, run

# Each is a module beside this one with a command of the same name, loaded when it is called: a worker needs no Flask.
NOUNS = (
    "init",
    "up",
    "down",
    "status",
    "logs",
    "verify",
    "update",
    "rollback",
    "doctor",
    "workers",
    "queues",
    "login",
    "projects",
    "jobs",
    "owners",
    "tokens",
    "audit",
    "mail",
    "mailbox",
    "backups",
    "secrets",
    "schedules",
    "db",
    "capacity",
    "serve",
    "worker",
    "scheduler",
)
cli.nouns.extend(NOUNS)


def main() -> None:
    """Run the command line and leave with its exit code."""
    # Before a noun is loaded, and with it what reads the environment behind our back.
    surroundings.enter()
    sys.exit(run())


if __name__ == "__main__":
    main()

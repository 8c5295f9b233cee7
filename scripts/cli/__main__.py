"""Entry point of the command line: every noun joins the group here."""

from __future__ import annotations

import sys

from config import surroundings
from scripts.cli.root import cli, run

# Each is a module below this folder with a command of its last name, loaded when it is called: a worker needs no Flask.
NOUNS = (
    "installation.init",
    "installation.up",
    "installation.down",
    "installation.status",
    "installation.logs",
    "installation.verify",
    "installation.update",
    "installation.rollback",
    "installation.doctor",
    "jobs.workers",
    "jobs.queues",
    "owners.login",
    "projects.projects",
    "users.users",
    "storage.storage",
    "jobs.jobs",
    "owners.owners",
    "owners.tokens",
    "installation.audit",
    "installation.mail",
    "installation.mailbox",
    "backups.backups",
    "installation.secrets",
    "jobs.schedules",
    "db.db",
    "installation.capacity",
    "services.serve",
    "services.worker",
    "services.scheduler",
)
cli.nouns.update({home.rpartition(".")[2]: home for home in NOUNS})


def main() -> None:
    """Run the command line and leave with its exit code."""
    # Before a noun is loaded, and with it what reads the environment behind our back.
    surroundings.enter_own_environment()
    sys.exit(run())


if __name__ == "__main__":
    main()

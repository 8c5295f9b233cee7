"""The command `launchdb`: the group that every noun joins, and how it ends."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from typing import Any

import click
import httpx

from config.settings import SettingsError
from config.version import VERSION
from infra.errors import InfraError
from scripts.cli import inside
from scripts.cli.errors import FAILURE, INTERRUPTED, USAGE, CliError
from scripts.cli.output import print_note


class LazyGroup(click.Group):
    """A group whose commands are loaded when they are asked for."""

    nouns: dict[str, str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.nouns = {}

    def list_commands(self, _context: click.Context) -> list[str]:
        """List the nouns in the order of the manual."""
        return list(self.nouns)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """Load the noun's module."""
        if name not in self.nouns:
            return None
        command: click.Command = getattr(import_module(f"scripts.cli.{self.nouns[name]}"), name)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, message="%(version)s")
def cli() -> None:
    """Many Supabase-compatible projects on one server, every operation a resumable job.

    Data goes to standard output, everything else to standard error; --json gives the data as JSON.
    Exit codes: 0 done, 1 failure, 2 usage, 3 the job failed, 4 conflict, 5 not found,
    6 not signed in or not allowed, 124 timed out, 130 interrupted.
    """


def run(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code. Nothing that can be foreseen ends in a traceback."""
    # What libraries have to say goes into the logs of services; here one sentence says it.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        inside.forward(sys.argv[1:] if arguments is None else arguments)
        code = cli.main(args=arguments, prog_name="launchdb", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print_note("interrupted")
        return INTERRUPTED
    except CliError as error:
        print_note(f"launchdb: {error}")
        return error.code
    except SettingsError as error:
        print_note(f"launchdb: {error}")
        return USAGE
    except (InfraError, httpx.HTTPError, OSError) as error:
        print_note(f"launchdb: {error}")
        return FAILURE
    return code if isinstance(code, int) else 0

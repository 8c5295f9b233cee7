"""The command `launchdb`: the group that every noun joins, and how it ends."""

from __future__ import annotations

import logging
import sys

import click
import httpx

from config.settings import SettingsError
from infra.errors import InfraError
from scripts.cli.errors import FAILURE, INTERRUPTED, USAGE, CliError
from scripts.cli.output import note


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="launchdb", message="%(version)s")
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
        code = cli.main(args=arguments, prog_name="launchdb", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        note("interrupted")
        return INTERRUPTED
    except CliError as error:
        note(f"launchdb: {error}")
        return error.code
    except SettingsError as error:
        note(f"launchdb: {error}")
        return USAGE
    except (InfraError, httpx.HTTPError, OSError) as error:
        note(f"launchdb: {error}")
        return FAILURE
    return code if isinstance(code, int) else 0

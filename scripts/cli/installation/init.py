"""launchdb init: a home for an installation in containers: `.env`, secrets, folders."""

from __future__ import annotations

from pathlib import Path

import click

from config.installation import default_home, settings_of
from infra.host import caddyfile, dotenv, home
from scripts.cli.output import json_option, print_json, print_lines, print_note


@click.command()
@click.option("--home", "folder", type=click.Path(file_okay=False), help="Folder of all state (LAUNCHDB_HOME).")
@click.option("--set", "chosen", multiple=True, metavar="NAME=VALUE", help="A line of `.env`; may be given again.")
@click.option(
    "--copy-to",
    type=click.Path(file_okay=False, exists=True),
    default=str(home.COPIES),
    show_default=True,
    help="Where the dated copy of the secrets goes.",
)
@json_option
def init(*, folder: str | None, chosen: tuple[str, ...], copy_to: str, as_json: bool) -> None:
    """Prepare a home to start with: folders with their owners, `.env`, secrets and a dated copy of these.

    A variable of `.env.example` that is set in the environment goes into `.env`. What is there is kept; no secret is
    ever overwritten.
    """
    path = Path(folder).expanduser().resolve() if folder else default_home()
    made = home.prepare(path, {**dotenv.from_environment(), **_lines(chosen)}, copies=Path(copy_to))
    caddyfile.write_caddyfile(settings_of(path))
    if made.secrets:
        print_note(f"made {len(made.secrets)} secrets; a copy lies in {made.copy}: keep it off this machine")
    if made.changed:
        print_note(f"changed in .env: {', '.join(sorted(made.changed))}")
    if as_json:
        print_json({"home": str(path), "secrets": made.secrets, "copy": str(made.copy) if made.copy else None})
        return
    print_lines([f"{path} is ready; `launchdb up --docker` starts it"])


def _lines(chosen: tuple[str, ...]) -> dict[str, str]:
    given = {}
    for line in chosen:
        name, equals, value = line.partition("=")
        if not equals:
            raise click.BadParameter(f"{line} is not NAME=VALUE")
        given[name] = value
    return given

"""One run of the command line: its settings, its client, and the project it is about."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from catalog.ids import is_project_id
from config.client import ClientSettings, load_client_settings
from config.settings import Settings, load
from scripts.cli.errors import NOT_FOUND, USAGE, CliError
from scripts.cli.signin import ContextFile
from scripts.cli.target import connect_client

if TYPE_CHECKING:
    from scripts.cli.client import Client


@dataclass
class CliSession:
    """Settings and client are made when first asked for, so that `--help` needs neither."""

    @cached_property
    def settings(self) -> Settings:
        """Settings of the local installation. Raises SettingsError."""
        return load()

    @cached_property
    def environment(self) -> ClientSettings:
        """Settings of the command line."""
        return load_client_settings()

    @cached_property
    def context_file(self) -> ContextFile:
        """What `login` remembers."""
        return ContextFile(self.environment.context_file)

    @cached_property
    def client(self) -> Client:
        """The signed-in client of the platform API. Raises CliError."""
        client = connect_client(self.settings, self.environment, self.context_file)
        click.get_current_context().find_root().call_on_close(client.close)
        return client

    def project(self, named: str | None) -> dict[str, Any]:
        """Return the project of that id or name (LAUNCHDB_PROJECT when none is named).

        Raises CliError when there is none, and when nothing was named at all.
        """
        wanted = named or self.environment.project
        if not wanted:
            raise CliError("name a project, by id or name, or set LAUNCHDB_PROJECT", USAGE)
        if is_project_id(wanted):
            found: dict[str, Any] = self.client.get(f"/api/projects/{wanted}")
            return found
        for project in self.client.pages("/api/projects", "projects"):
            if project["name"] == wanted:
                return project
        raise CliError(f"there is no project {wanted}", NOT_FOUND)

    def project_path(self, named: str | None) -> str:
        """Return where the API has that project. Raises CliError as `project` does."""
        return f"/api/projects/{self.project(named)['id']}"

    def path_and(self, words: tuple[str, ...], what: str) -> tuple[str, str]:
        """Return where the API has the project, and the word behind it, of a command that takes `[PROJECT] WHAT`.

        Raises UsageError for more words, CliError as `project` does.
        """
        if len(words) > 2:
            raise click.UsageError(f"give PROJECT and {what}")
        return self.project_path(words[0] if len(words) > 1 else None), words[-1]


pass_session = click.make_pass_decorator(CliSession, ensure=True)

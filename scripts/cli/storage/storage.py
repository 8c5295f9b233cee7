"""launchdb storage: a project's files, with its service key."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import NOT_FOUND, USAGE, CliError
from scripts.cli.jobs.progress import reporter
from scripts.cli.options import confirm
from scripts.cli.output import format_pairs, format_table, json_option, print_json, print_lines
from scripts.cli.service_client import split_words
from scripts.cli.storage.copying import carry_out, copies_of
from scripts.cli.storage.files_client import FilesClient
from scripts.cli.storage.keys import keys
from scripts.cli.storage.places import RemotePlace, place_of, remote_place

PLACE = click.argument("words", nargs=-1, required=True, metavar="[PROJECT] PLACE")
TWO_PLACES = click.argument("words", nargs=-1, required=True, metavar="[PROJECT] SOURCE TARGET")
RECURSIVE = click.option("-r", "--recursive", is_flag=True, help="With all that is in a folder.")
BUCKETS = ("name", "public", "file_size_limit", "allowed_mime_types", "created_at")


@click.group()
def storage() -> None:
    """Handle a project's files. PLACE is ss:///BUCKET/KEY, or BUCKET/KEY where no file can be meant."""


storage.add_command(keys)


@storage.command()
@click.argument("project", required=False)
@click.option("--create", "wanted", metavar="NAME", help="Create one first.")
@click.option("--public", is_flag=True, help="What is created may be read by everybody.")
@json_option
@pass_session
def buckets(session: CliSession, project: str | None, *, wanted: str | None, public: bool, as_json: bool) -> None:
    """List the buckets of PROJECT."""
    files = FilesClient(session, project)
    if wanted is not None:
        files.ask("POST", "/bucket", {"name": wanted, "public": public})
    found = files.ask("GET", "/bucket")
    if as_json:
        print_json({"buckets": found})
        return
    print_lines(format_table(BUCKETS, ([bucket.get(name) for name in BUCKETS] for bucket in found)))


@storage.command()
@PLACE
@RECURSIVE
@json_option
@pass_session
def ls(session: CliSession, words: tuple[str, ...], *, recursive: bool, as_json: bool) -> None:
    """List what is in a bucket, or in a folder of one."""
    project, named = split_words(words, "PLACE")
    place, files = remote_place(named), FilesClient(session, project)
    files.ask("GET", f"/bucket/{quote(place.bucket)}")  # one that is not there is not an empty one
    found = list(files.entries(place, recursive=recursive))
    if as_json:
        print_json({"entries": found})
        return
    print_lines(format_table(("key", "size", "updated_at"), (_row(entry) for entry in found)))


@storage.command()
@TWO_PLACES
@RECURSIVE
@json_option
@pass_session
def cp(session: CliSession, words: tuple[str, ...], *, recursive: bool, as_json: bool) -> None:
    """Copy files to a bucket, from one, or between two; what is there is replaced on this machine and by uploads."""
    project, source, target = _three(words)
    files = FilesClient(session, project)
    copies = copies_of(files, place_of(source), place_of(target), recursive=recursive)
    with reporter() as tell:
        moved = carry_out(files, copies, tell)
    if as_json:
        print_json({"copied": len(copies), "bytes": moved})


@storage.command()
@TWO_PLACES
@RECURSIVE
@json_option
@pass_session
def mv(session: CliSession, words: tuple[str, ...], *, recursive: bool, as_json: bool) -> None:
    """Move an object within the project, or all of a folder; no byte is copied."""
    project, source, target = _three(words)
    files, first, last = FilesClient(session, project), remote_place(source), remote_place(target)
    moves = copies_of(files, first, last, recursive=recursive)
    with reporter() as tell:
        for done, move in enumerate(moves, 1):
            files.send_to("move", move.source, move.target)  # type: ignore[arg-type]
            tell.print_line(f"{move.source} → {move.target}")
            tell.update(100.0 * done / len(moves), str(move.source))
    if as_json:
        print_json({"moved": len(moves)})


@storage.command()
@PLACE
@RECURSIVE
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_session
def rm(session: CliSession, words: tuple[str, ...], *, recursive: bool, yes: bool, as_json: bool) -> None:
    """Remove an object, or all of a folder. It does not come back."""
    project, named = split_words(words, "PLACE")
    place, files = remote_place(named), FilesClient(session, project)
    if place.is_folder and not recursive:
        raise CliError(f"{place} is a folder; remove what is in it with --recursive", USAGE)
    keys = _keys(files, place) if recursive else [place.key]
    if recursive and not yes:
        confirm(place.bucket, f"{len(keys)} objects of {place}", yes=yes)
    removed = files.remove(place.bucket, keys)
    if not removed:
        raise CliError(f"there is nothing at {place}", NOT_FOUND)
    if as_json:
        print_json({"removed": removed})
        return
    print_lines([f"{removed} removed"])


@storage.command()
@click.argument("project", required=False)
@json_option
@pass_session
def usage(session: CliSession, project: str | None, *, as_json: bool) -> None:
    """Show how many objects and bytes PROJECT has, in all and by bucket, and how many it may have."""
    found = FilesClient(session, project).ask("GET", "/usage")
    if as_json:
        print_json(found)
        return
    print_lines(format_pairs({name: value for name, value in found.items() if name != "buckets"}))
    columns = ("bucket", "objects", "bytes")
    print_lines(["", *format_table(columns, ([bucket[name] for name in columns] for bucket in found["buckets"]))])


def _three(words: tuple[str, ...]) -> tuple[str | None, str, str]:
    if len(words) not in (2, 3):
        raise CliError("give [PROJECT] SOURCE TARGET", USAGE)
    return (words[0] if len(words) == 3 else None), words[-2], words[-1]


def _keys(files: FilesClient, place: RemotePlace) -> list[str]:
    folder = place if place.is_folder else RemotePlace(place.bucket, f"{place.key}/")
    return [entry["key"] for entry in files.entries(folder, recursive=True)]


def _row(entry: dict[str, Any]) -> list[Any]:
    metadata = entry.get("metadata") or {}
    return [entry["key"] if entry["id"] else entry["name"], metadata.get("size"), entry.get("updated_at")]

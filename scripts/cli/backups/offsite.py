"""launchdb backups offsite, pull: copies on another machine. Acts of who may read the home."""

from __future__ import annotations

import click

from infra import files
from infra.backup.offsite import Offsite
from infra.backup.pulling import pull_sets
from infra.backup.set_names import stem_of, whole
from infra.backup.store import BackupStore
from scripts.cli.context import CliSession, pass_session
from scripts.cli.errors import NOT_FOUND, CliError
from scripts.cli.output import json_option, print_json, print_lines, print_note


@click.command()
@click.option("--accept", metavar="FINGERPRINT", help="Pin the host's key of this fingerprint without asking.")
@click.option("--trial", is_flag=True, help="Let a small file go over and be gone again.")
@json_option
@pass_session
def offsite(session: CliSession, *, accept: str | None, trial: bool, as_json: bool) -> None:
    """Prepare copying to RSYNC_DEST: make a key, print the line for the other machine, pin that machine's own key."""
    there = Offsite(session.settings)
    line = there.prepare()
    pinned = there.pinned()
    if accept is not None or not trial:
        pinned = _pin(there, pinned, accept)
    if trial:
        folder = files.ensure_folder(session.settings.run_folder / "trial")
        there.try_copy(folder)
        print_note("a small file went over and is gone again: copying works")
    if as_json:
        print_json({"authorizedKey": line, "hostKey": pinned})
        return
    print_lines([line])
    print_note(
        f"the line above belongs into ~{there.destination.user}/.ssh/authorized_keys on {there.destination.address}"
    )


@click.command()
@click.argument("sets", nargs=-1, metavar="[SET]...")
@json_option
@pass_session
def pull(session: CliSession, sets: tuple[str, ...], *, as_json: bool) -> None:
    """Fetch sets that lie at RSYNC_DEST and not here (all of them, if none is named); run `adopt` next."""
    there, store = Offsite(session.settings), BackupStore(session.settings)
    listing = there.list_files()
    known = set(whole(listing))
    if unknown := sorted(set(sets) - known):
        raise CliError(f"there is no whole backup {unknown[0]} on the other machine", NOT_FOUND)
    wanted = sorted((set(sets) or known) - set(store.stems()))
    incoming = files.ensure_folder(session.settings.home / "backup" / "incoming")
    for stem in pull_sets(there, store, incoming, wanted):
        print_note(f"fetched {stem}")
    if as_json:
        print_json({"fetched": wanted})
        return
    print_lines([f"{len(wanted)} backups fetched; `launchdb backups adopt` lists them"])


def remote(session: CliSession) -> list[dict[str, object]]:
    """Return the sets that lie on the other machine."""
    listing = Offsite(session.settings).list_files()
    here, stems = set(BackupStore(session.settings).stems()), whole(listing)
    sizes = {stem: sum(size for name, size in listing.items() if stem_of(name) == stem) for stem in stems}
    return [{"set": stem, "bytes": sizes[stem], "alsoHere": stem in here} for stem in stems]


def _pin(there: Offsite, pinned: str | None, accept: str | None) -> str:
    line, fingerprint = there.host_key()
    if fingerprint == pinned:
        return fingerprint
    if pinned is not None:
        print_note(f"the host's key has CHANGED: it was {pinned}")
    if accept is None:
        print_note(f"{there.destination.address} shows the ed25519 key {fingerprint}")
        print_note("compare it with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints there")
        click.confirm("Is it the same", abort=True, err=True)
    elif accept != fingerprint:
        raise CliError(f"the host shows the key {fingerprint}, not {accept}; nothing was pinned")
    there.pin(line)
    return fingerprint

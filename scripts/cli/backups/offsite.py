"""launchdb backups offsite, pull: copies on another machine. Acts of who may read the home."""

from __future__ import annotations

import click

from infra import files
from infra.backup.offsite import Offsite
from infra.backup.set_names import stem_of, whole
from infra.backup.store import BackupStore
from scripts.cli.context import Session, pass_session
from scripts.cli.errors import NOT_FOUND, CliError
from scripts.cli.output import emit, emit_json, json_option, note


@click.command()
@click.option("--accept", metavar="FINGERPRINT", help="Pin the host's key of this fingerprint without asking.")
@click.option("--trial", is_flag=True, help="Let a small file go over and be gone again.")
@json_option
@pass_session
def offsite(session: Session, *, accept: str | None, trial: bool, as_json: bool) -> None:
    """Prepare copying to RSYNC_DEST: make a key, print the line for the other machine, pin that machine's own key."""
    there = Offsite(session.settings)
    line = there.prepare()
    pinned = there.pinned()
    if accept is not None or not trial:
        pinned = _pin(there, pinned, accept)
    if trial:
        folder = files.folder(session.settings.run_folder / "trial")
        there.attempt(folder)
        note("a small file went over and is gone again: copying works")
    if as_json:
        emit_json({"authorizedKey": line, "hostKey": pinned})
        return
    emit([line])
    note(f"the line above belongs into ~{there.destination.user}/.ssh/authorized_keys on {there.destination.address}")


@click.command()
@click.argument("sets", nargs=-1, metavar="[SET]...")
@json_option
@pass_session
def pull(session: Session, sets: tuple[str, ...], *, as_json: bool) -> None:
    """Fetch sets that lie at RSYNC_DEST and not here (all of them, if none is named); run `adopt` next."""
    there, store = Offsite(session.settings), BackupStore(session.settings)
    listing = there.listing()
    known = set(whole(listing))
    if unknown := sorted(set(sets) - known):
        raise CliError(f"there is no whole backup {unknown[0]} on the other machine", NOT_FOUND)
    wanted = sorted((set(sets) or known) - set(store.stems()))
    incoming = files.folder(session.settings.home / "backup" / "incoming")
    there.fetch(incoming, [name for name in listing if stem_of(name) in wanted], lambda _done: None)
    for stem in wanted:
        store.receive(incoming, stem)
        note(f"fetched {stem}")
    if as_json:
        emit_json({"fetched": wanted})
        return
    emit([f"{len(wanted)} backups fetched; `launchdb backups adopt` lists them"])


def remote(session: Session) -> list[dict[str, object]]:
    """Return the sets that lie on the other machine."""
    listing = Offsite(session.settings).listing()
    here, stems = set(BackupStore(session.settings).stems()), whole(listing)
    sizes = {stem: sum(size for name, size in listing.items() if stem_of(name) == stem) for stem in stems}
    return [{"set": stem, "bytes": sizes[stem], "alsoHere": stem in here} for stem in stems]


def _pin(there: Offsite, pinned: str | None, accept: str | None) -> str:
    line, fingerprint = there.host_key()
    if fingerprint == pinned:
        return fingerprint
    if pinned is not None:
        note(f"the host's key has CHANGED: it was {pinned}")
    if accept is None:
        note(f"{there.destination.address} shows the ed25519 key {fingerprint}")
        note("compare it with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints there")
        click.confirm("Is it the same", abort=True, err=True)
    elif accept != fingerprint:
        raise CliError(f"the host shows the key {fingerprint}, not {accept}; nothing was pinned")
    there.pin(line)
    return fingerprint

"""PgBouncer's two files: rendered whole, looked through, replaced in one step, the last good ones kept."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import md5, sha256
from typing import TYPE_CHECKING

from infra import files
from infra.errors import Refused
from infra.render import render

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from infra.pooler.pooler import PoolerEntry

CONFIGURATION, USERS = "pgbouncer.ini", "userlist.txt"
BACKUPS = 5
MODE = 0o640  # we write, PgBouncer's group reads
SECTIONS = ("pgbouncer", "databases")
# Without these PgBouncer would start as something else than was meant.
# The last line: the digest of all others. By it PgBouncer's container tells a whole file from what is left of one.
# The pooler's entrypoint looks for both.
WHOLE, WHOLE_USERS = "; whole: ", ";; whole: "
NEEDED = frozenset({"listen_addr", "listen_port", "auth_type", "auth_file", "admin_users", "pool_mode"})
_SETTING = re.compile(r"([A-Za-z0-9_]+) = ?(.*)", re.ASCII)
_OPTION = re.compile(r"(\w+)=('(?:[^']|'')*'|[^\s']+)(?: |$)", re.ASCII)
_LINE = re.compile(r'"([^"\x00-\x1f]+)" "([^"\x00-\x1f]*)"')

Sections = dict[str, dict[str, str]]


@dataclass(frozen=True)
class PgBouncerFrame:
    """What a configuration says besides its entries. platform: the database that logins are asked of."""

    host: str
    port: str
    platform: PoolerEntry
    listen_addr: str
    listen_port: str
    socket_folder: str
    userlist: str
    auth_user: str
    admin_user: str
    max_clients: int = 5000


def render_configuration(frame: PgBouncerFrame, entries: Sequence[PoolerEntry]) -> str:
    """Return the text of pgbouncer.ini. Raises Refused when it does not say exactly what was asked."""
    known = {name: value for name, value in asdict(frame).items() if name != "platform"}
    text = _sealed(WHOLE, render(CONFIGURATION, {**known, "platform": frame.platform, "entries": entries}))
    said = parse_configuration(text)
    served = {name: parse_database_line(line) for name, line in said["databases"].items()}
    if set(served) != {frame.platform.database, *(entry.database for entry in entries)}:
        raise Refused("the pooler's configuration does not name the databases that it should")
    for entry in (frame.platform, *entries):
        expected = {"host": frame.host, "port": frame.port, "dbname": entry.database, "pool_size": str(entry.pool_size)}
        if expected.items() - served[entry.database].items():
            raise Refused("the pooler's configuration does not say what it should of a database")
    return text


def _sealed(mark: str, text: str) -> str:
    return f"{text}{mark}{sha256(text.encode()).hexdigest()}\n"


def _is_whole(mark: str, text: str) -> bool:
    return text == _sealed(mark, text.rpartition(mark)[0])


def parse_configuration(text: str) -> Sections:
    """Return what a pgbouncer.ini says, by section. Raises Refused, naming the line, for what is none of ours."""
    if not text.endswith("\n"):
        raise Refused("pgbouncer.ini is empty or cut off")
    found: Sections = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.isprintable():
            raise Refused(f"line {number} of pgbouncer.ini holds a control character")
        if line.startswith("["):
            found[line.strip("[]")] = {}
        elif line and not line.startswith(";") and not _take(line, found):
            raise Refused(f"line {number} of pgbouncer.ini is none that we write")
    if tuple(found) != SECTIONS or not found["databases"] or NEEDED - set(found["pgbouncer"]):
        raise Refused("pgbouncer.ini lacks a section or a setting that it needs")
    for name, line in found["databases"].items():
        parse_database_line(line, name)
    return found


def _take(line: str, found: Sections) -> bool:
    """Add a setting to the last section; say whether it is one, and there but once."""
    setting = _SETTING.fullmatch(line)
    section = next(reversed(found.values()), None)
    if setting is None or section is None or setting[1] in section:
        return False
    section[setting[1]] = setting[2]
    return True


def parse_database_line(line: str, name: str = "") -> dict[str, str]:
    """Return the options of one database's line. Raises Refused."""
    pairs = _OPTION.findall(line)
    if "".join(f"{key}={value} " for key, value in pairs).strip() != line or not pairs:
        raise Refused(f"the line of database {name} in pgbouncer.ini is none that we write")
    return dict(pairs)


def render_userlist(known: Mapping[str, str], date: datetime | None = None) -> str:
    """Return the text of userlist.txt: who may log in besides the projects' logins. Raises Refused."""
    date = date or datetime.now(UTC)
    values = {"date": f"{date:%Y-%m-%d %H:%M:%S} UTC", "users": sorted(known.items())}
    text = _sealed(WHOLE_USERS, render(USERS, values))
    if _users(text) != dict(known):
        raise Refused("a name or a secret for the pooler holds a character that its file cannot hold")
    return text


def _users(text: str) -> dict[str, str] | None:
    """Return whom a userlist.txt names; None for what is none of ours."""
    found = [_LINE.fullmatch(line) for line in text.splitlines() if not line.startswith(";;")]
    if not text.endswith("\n") or not text.startswith(";;"):
        return None
    return {line[1]: line[2] for line in found if line} if all(found) else None


def md5_hash(user: str, password: str) -> str:
    """Return what stands for a password in a userlist.txt of the old sort, for poolers that still log in by md5."""
    return "md5" + md5((password + user).encode()).hexdigest()  # noqa: S324 - the format is Postgres's


class PgBouncerFolder:
    """The folder that PgBouncer reads its files from. Whoever changes them holds the lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only writer on this machine. Raises Refused when the folder is not there."""
        with files.locked(self.path / ".lock") as handle:
            if (owner := self._owner()) is not None:
                os.fchown(handle, *owner)  # made by root, nobody else could open it
            yield

    @property
    def configuration(self) -> Path:
        """The file that PgBouncer is started with."""
        return self.path / CONFIGURATION

    @property
    def users(self) -> Path:
        """The file that names who may log in besides the projects' logins."""
        return self.path / USERS

    def keep_users(self, known: Mapping[str, str]) -> bool:
        """Ensure that userlist.txt names exactly these; return whether it had to be written."""
        now = _read(self.users)
        written = not (_users(now) == dict(known) and _is_whole(WHOLE_USERS, now) and self._is_closed(self.users))
        if written:
            now = render_userlist(known)
            self._replace(self.users, now)
        # Nothing in it can be refused: the copy that PgBouncer starts with, should this be lost, is the same.
        copy = self.users.with_name(f"{USERS}.backup")
        if not files.holds(copy, now):
            self._replace(copy, now)
        return written

    def keep_configuration(self, text: str) -> bool:
        """Ensure that pgbouncer.ini holds exactly this text; return whether it was written.

        A good one of before is kept.
        """
        if files.holds(self.configuration, text) and self._is_closed(self.configuration):
            return False
        self.keep_taken()
        self._replace(self.configuration, text)
        return True

    def write_anew(self) -> None:
        """Write pgbouncer.ini as a new file of the same text: whoever watches it reads it again."""
        self._replace(self.configuration, _read(self.configuration))

    def put_back(self) -> bool:
        """Put the newest good pgbouncer.ini that was kept back; return whether there was one."""
        for path in reversed(self.backups()):
            text = _read(path)
            if not faults(text):
                self._replace(self.configuration, text)
                return True
        return False

    def backups(self) -> list[Path]:
        """Return the configurations of before, oldest first."""
        return sorted(self.path.glob(f"{CONFIGURATION}.backup-*"))

    def keep_taken(self) -> None:
        """Keep a copy of pgbouncer.ini, which PgBouncer has taken: with that it starts where the file is lost."""
        now = _read(self.configuration)
        kept = self.backups()
        if faults(now) or (kept and files.holds(kept[-1], now)):
            return
        name = f"{CONFIGURATION}.backup-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
        # No link: whoever writes into the file by hand would write into the copy.
        self._replace(self.path / name, now)
        with files.translate_os_errors(self.configuration):
            for path in kept[: max(0, len(kept) + 1 - BACKUPS)]:
                path.unlink(missing_ok=True)

    def _replace(self, path: Path, text: str) -> None:
        for left in self.path.glob(f".{path.name}.*"):  # by somebody killed before the rename; we hold the lock
            left.unlink(missing_ok=True)
        files.replace(path, text, mode=MODE, owner=self._owner())

    def _owner(self) -> tuple[int, int] | None:
        # The folder hands its group on to what is made in it; only root's own files would be root's.
        folder = self.path.stat()
        return (folder.st_uid, folder.st_gid) if os.geteuid() == 0 else None

    def _is_closed(self, path: Path) -> bool:
        stat = path.stat()
        return stat.st_mode & 0o777 == MODE and stat.st_gid == self.path.stat().st_gid


def faults(text: str) -> str:
    """Return in words why PgBouncer should not be started with this text; empty when it may be."""
    try:
        parse_configuration(text)
    except Refused as refused:
        return str(refused)
    return "" if _is_whole(WHOLE, text) else "pgbouncer.ini was cut off or changed by hand"


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
    except OSError as error:
        raise files.os_error_text(error, str(path)) from error

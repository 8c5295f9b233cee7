"""What may lie on the other machine by our hand: no other name is sent there, fetched from there or removed there."""

from __future__ import annotations

import re

from infra.errors import Refused

TRIAL = ".launchdb-trial"
# What a set is made of. Whatever else lies on the other machine is not ours, and not looked at.
NAME = re.compile(r"[a-z0-9_]+_\d{8}_\d{6}\.(manifest\.json|(sql\.gz|dump\.zst|files\.zst)\.gpg)", re.ASCII)
# A copy of a project's files, below the folder of the sets; and what an rsync that was killed has left of one.
CONTENT = re.compile(r"files/(?P<owner>[a-z0-9_]+)/[0-9a-f]{2}/[0-9a-f]{64}\.zst\.gpg", re.ASCII)
CONTENT_LEFT = re.compile(r"files/[a-z0-9_]+/[0-9a-f]{2}/\.[0-9a-f]{64}\.zst\.gpg\.[A-Za-z0-9]{6}", re.ASCII)
# rsync(1): what it writes has a dot before and six characters behind its name until it is whole.
LEFT = re.compile(rf"\.({NAME.pattern}|\.launchdb-trial)\.[A-Za-z0-9]{{6}}", re.ASCII)


def checked(name: str) -> str:
    """Return a name that is ours. Raises Refused."""
    if name != TRIAL and not any(each.fullmatch(name) for each in (NAME, LEFT, CONTENT, CONTENT_LEFT)):
        raise Refused("this is no name of a backup's file")
    return name

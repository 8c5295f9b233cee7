"""The id of a request, which stands in its answer, in the log and on what it begins."""

from __future__ import annotations

import re

import uuid_utils

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


def request_id_of(given: str) -> str:
    """Return the id that a client has given, where it is fit for a header and a log, or a new one."""
    return given if _REQUEST_ID.fullmatch(given) else uuid_utils.uuid7().hex

"""The file by which a process without a port says that it lives; whoever checks looks at its time."""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger(__name__)


def touch_alive_file(file: str) -> None:
    """Touch the file, if one is named. To be called where work was just done: a thread of its own would lie."""
    if not file:
        return
    try:
        Path(file).touch()
    except OSError as error:
        log.warning("the sign of life could not be given", extra={"file": file, "fault": error.strerror})

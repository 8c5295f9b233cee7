"""`python -m infra.embedded`: the supervisor's own process, started by `launchdb up`."""

from __future__ import annotations

import os
import sys

from config import surroundings
from config.settings import Settings, SettingsError, load
from infra import files
from infra.embedded.report import FAULT, StartReport
from infra.embedded.start import Installation, folders, lock_path
from infra.errors import InfraError


def main() -> int:
    """Supervise until asked to stop; return the exit status."""
    surroundings.enter_own_environment()
    report = StartReport()
    try:
        settings = load(recall=False)
        folders(settings)
        with files.locked(lock_path(settings), wait=False) as lock:
            os.ftruncate(lock, 0)
            os.write(lock, str(os.getpid()).encode())
            _supervise(settings, report)
    except files.FileLocked:
        report.send(FAULT, f"LaunchDB already runs on {settings.home}; `launchdb down` stops it")
        return 1
    except (SettingsError, InfraError) as error:
        report.send(FAULT, str(error))
        return 1
    except OSError as error:
        report.send(FAULT, str(files.os_error_text(error, str(error.filename or "a file of LaunchDB"))))
        return 1
    return 0


def _supervise(settings: Settings, report: StartReport) -> None:
    Installation(settings, report).run()


if __name__ == "__main__":
    sys.exit(main())

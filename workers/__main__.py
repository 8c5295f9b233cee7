"""`python -m workers [QUEUE …]`: one worker process, as the Procfile's `launchdb worker` starts it."""

from __future__ import annotations

import sys

from config import surroundings
from config.settings import load
from workers.process import main

if __name__ == "__main__":
    surroundings.enter_own_environment()
    main(load(), sys.argv[1:] or ["control", "bulk"])

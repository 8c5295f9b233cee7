"""A worker that also serves the benches' kinds: `python -m scripts.bench.worker`."""

from __future__ import annotations

import scripts.bench.kinds  # noqa: F401 - registers them
from config.settings import load
from workers.process import main

if __name__ == "__main__":
    main(load(), ["control", "bulk"])

"""Procrastinate: one worker that runs as many jobs at a time as the others have threads."""

from __future__ import annotations

import asyncio
import time

from procrastinate import App, PsycopgConnector

from scripts.bench.peers.stopwatch import report, seconds_since, task


async def main() -> None:
    """Measure and report."""
    asked = task()
    app = App(connector=PsycopgConnector(conninfo=asked.url, max_size=asked.threads + 2))

    def act() -> None:
        """Do nothing; procrastinate knows no steps."""

    act_task = app.task(act, name="act")
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        start = time.perf_counter()
        for _ in range(asked.jobs):
            await act_task.defer_async()
        enqueued = seconds_since(start)
        start = time.perf_counter()
        await app.run_worker_async(concurrency=asked.threads, wait=False, install_signal_handlers=False)
        report(asked, enqueue_seconds=enqueued, drain_seconds=seconds_since(start))


if __name__ == "__main__":
    asyncio.run(main())

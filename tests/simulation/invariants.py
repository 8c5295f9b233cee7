"""What must hold once a schedule is at rest, whatever befell it."""

from __future__ import annotations

from itertools import pairwise

LEFT_BEHIND = ("undoing did not succeed", "workers died while they ran")


def violations(schedule) -> list[str]:
    """Return every broken invariant, in words."""
    jobs = schedule.rows("SELECT * FROM jobs ORDER BY seq")
    found = list(schedule.world.violations)
    found += accepted_jobs_exist(schedule, jobs)
    found += jobs_rest(jobs)
    found += attempts_are_told(schedule)
    found += steps_fit(schedule)
    found += things_are_in_the_ledger(schedule)
    for subject in schedule.rows("SELECT * FROM simulation.subjects ORDER BY id"):
        found += subject_is_right(schedule, subject, [job for job in jobs if job["project_id"] == subject["id"]])
    return found


def accepted_jobs_exist(schedule, jobs) -> list[str]:
    """R1: what was acknowledged exists. R3: one key, one job."""
    known = {job["id"] for job in jobs}
    found = [f"R1: {key} was answered with {job}, which is not there" for key, job in schedule.acknowledged.items()
             if job not in known]  # fmt: skip
    builds = [job["project_id"] for job in jobs if job["kind"] == "trial.sim_build"]
    found += [f"R3: {subject} was built by several jobs" for subject in set(builds) if builds.count(subject) > 1]
    return found


def jobs_rest(jobs) -> list[str]:
    """R2: every job is final, has an end and is held by nobody."""
    return [
        f"R2: {job['kind']} {job['status']} leased until {job['leased_until']}, ended {job['finished_at']}"
        for job in jobs
        if job["status"] not in ("succeeded", "failed", "cancelled")
        or job["finished_at"] is None
        or job["leased_until"] is not None
    ]


def attempts_are_told(schedule) -> list[str]:
    """R13: a job does not run twice without having been given back in between, as its history tells."""
    rows = schedule.rows(
        "SELECT job_id, data ->> 'status' AS status FROM job_events WHERE type = 'job' ORDER BY job_id, id"
    )
    return [
        f"R13: {after['job_id']} was taken although it ran"
        for before, after in pairwise(rows)
        if before["job_id"] == after["job_id"] and before["status"] == after["status"] == "running"
    ]


def steps_fit(schedule) -> list[str]:
    """R9: a succeeded job has done each of its steps, and an atomic step has counted exactly once."""
    found = [
        f"R9: {row['kind']} succeeded with step {row['name']} {row['status']}"
        for row in schedule.rows(
            "SELECT j.kind, s.name, s.status FROM jobs j JOIN job_steps s ON s.job_id = j.id"
            " WHERE j.status = 'succeeded' AND s.status NOT IN ('succeeded', 'skipped')"
        )
    ]
    counted = schedule.rows(
        "SELECT t.id, t.tolls, (SELECT count(*) FROM jobs j JOIN job_steps s ON s.job_id = j.id"
        "  WHERE j.project_id = t.id AND j.kind = 'trial.sim_change' AND s.name = 'toll_is_counted'"
        "  AND s.status = 'succeeded') AS steps FROM simulation.subjects t"
    )
    return found + [
        f"R9: {row['id']} was counted {row['tolls']} times by {row['steps']} finished steps"
        for row in counted
        if row["tolls"] != row["steps"]
    ]


def things_are_in_the_ledger(schedule) -> list[str]:
    """R5: nothing outside that the ledger does not list; nothing listed as present that is not there."""
    listed = {row["name"]: row["state"] for row in schedule.rows("SELECT name, state FROM resources")}
    things = schedule.world.things
    found = [f"R5: {thing} is there, the ledger says {listed.get(thing)}" for thing in things
             if listed.get(thing, "gone") == "gone"]  # fmt: skip
    found += [
        f"R4: {name} should be there" for name, state in listed.items() if state == "present" and name not in things
    ]
    return found


def subject_is_right(schedule, subject, jobs) -> list[str]:
    """R4 to R7: the end state is what the jobs' outcomes say."""
    name, state = subject["id"], subject["state"]
    there = {thing.split("/")[1] for thing in schedule.world.things if thing.startswith(f"{name}/")}
    ended = [job for job in jobs if job["kind"] == "trial.sim_end"]
    if any(job["status"] == "succeeded" for job in ended):
        right = not there and state == "deleted"
        return [] if right else [f"R7: {name} was deleted, is {state} with {sorted(there)}"]
    found = [f"R6: {name} rests in {state}"] if state in ("building", "ending") else []
    build = next((job for job in jobs if job["kind"] == "trial.sim_build"), None)
    if build is None or ended:
        return found
    if build["status"] == "succeeded" and (not {"house", "garden"} <= there or state != "active"):
        found.append(f"R4: {name} was built, is {state} with {sorted(there)}")
    forgiven = any(words in str((build["error"] or {}).get("detail")) for words in LEFT_BEHIND)
    if build["status"] in ("failed", "cancelled") and not forgiven and there & {"house", "garden"}:
        found.append(f"R5: {name} is {build['status']}, yet there is {sorted(there)}")
    changed = [job for job in jobs if job["kind"] in ("trial.sim_change", "trial.sim_mend")]
    if any(job["status"] == "succeeded" for job in changed) and "fence" not in there:
        found.append(f"R4: {name} was changed, has {sorted(there)}")
    return found

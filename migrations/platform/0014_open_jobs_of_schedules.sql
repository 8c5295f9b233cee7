-- Whether what a schedule started still runs is asked at each of its slots: by the few open jobs, not by all old slots.
CREATE INDEX jobs_open_of_schedules ON jobs (created_by)
    WHERE created_by LIKE 'schedule:%' AND status IN ('queued', 'retrying', 'running', 'cancelling');

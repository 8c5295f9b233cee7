-- name: gather
SELECT gather_history(%(most)s);

-- name: sums
SELECT measure, kind, label, count, seconds, buckets, history_bounds() AS bounds FROM job_history
 ORDER BY measure, kind, label;

-- name: medians
SELECT kind, label AS step, (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY took) FROM unnest(recent) AS took) AS took
  FROM job_history WHERE measure = 'step' AND kind = ANY (%(kinds)s);

-- name: ahead
SELECT * FROM jobs
 WHERE lane = %(lane)s AND seq < %(seq)s AND status IN ('queued', 'retrying', 'running', 'cancelling') ORDER BY seq;

-- name: now
SELECT clock_timestamp();

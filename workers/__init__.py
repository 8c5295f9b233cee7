"""Dramatiq: carries a job id from the doorbell to the runner."""

"""Thousands of schedules of workers, crashes, lost messages and clock jumps, played in one process from a seed."""

"""Rate limits by shares: exact when small, one part in a hundred when large, open when Redis is away."""

from __future__ import annotations

import time

import pytest

from infra.signals.limiter import WINDOW_SECONDS, BatchedRateLimiter, RateLimiter


@pytest.fixture
def limiter(valkey_url):
    made = RateLimiter(valkey_url)
    # A count belongs to a minute of the clock.
    left = WINDOW_SECONDS - time.time() % WINDOW_SECONDS
    if left < 3:
        time.sleep(left)
    yield made
    made.close()


def passed(shares, name, per_minute, count):
    counted = [shares.hit(name, per_minute) for _ in range(count)]
    return sum(found is None or found.passed for found in counted)


def test_a_small_limit_is_met_exactly_by_two_processes(limiter):
    one, two = BatchedRateLimiter(limiter), BatchedRateLimiter(limiter)
    name = f"small-{time.time_ns()}"
    assert passed(one, name, 20, 12) + passed(two, name, 20, 12) == 20


def test_a_large_limit_is_met_to_a_hundredth_by_each_process(limiter):
    one, two = BatchedRateLimiter(limiter), BatchedRateLimiter(limiter)
    name = f"large-{time.time_ns()}"
    assert passed(one, name, 1000, 3) == 3
    assert 1000 - 2 * 10 <= passed(one, name, 1000, 600) + passed(two, name, 1000, 600) + 3 <= 1000


def test_a_raised_limit_counts_at_once(limiter):
    shares, name = BatchedRateLimiter(limiter), f"raised-{time.time_ns()}"
    assert passed(shares, name, 2, 5) == 2
    assert passed(shares, name, 1000, 5) == 5


def test_projects_are_counted_apart(limiter):
    shares, name = BatchedRateLimiter(limiter), f"apart-{time.time_ns()}"
    assert passed(shares, f"{name}-a", 2, 5) == 2
    assert passed(shares, f"{name}-b", 2, 5) == 2


def test_without_redis_everything_passes():
    shares = BatchedRateLimiter(RateLimiter("redis://127.0.0.1:1/0"))
    assert passed(shares, "away", 1, 5) == 5


def test_without_redis_a_process_counts_by_itself_what_has_to_be_counted():
    limiter = RateLimiter("redis://127.0.0.1:1/0")
    counted = [limiter.count(3, "sign-in", "192.0.2.1") for _ in range(5)]
    other = limiter.count(3, "sign-in", "192.0.2.2")
    # The minute of the clock may end in between; nobody gets more than twice their limit then.
    assert 3 <= sum(found.passed for found in counted) <= 5
    assert not limiter.count(3, "sign-in", "192.0.2.1").passed or sum(found.passed for found in counted) > 3
    assert other.passed
    assert 0 < counted[-1].reset_seconds <= WINDOW_SECONDS

"""Rate limits by shares: exact when small, one part in a hundred when large, open when Redis is away."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

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


def test_a_limit_may_be_one_of_an_hour(limiter):
    name, left = f"hour-{time.time_ns()}", 3600 - time.time() % 3600
    counted = [limiter.count(2, name, seconds=3600) for _ in range(3)]
    assert [found.passed for found in counted] == [True, True, False]
    assert abs(counted[-1].reset_seconds - left) < 5


@pytest.mark.parametrize("away", [False, True], ids=["in Redis", "without Redis"])
def test_a_name_is_claimed_for_a_while_by_one_of_many(limiter, away):
    used, name = RateLimiter("redis://127.0.0.1:1/0") if away else limiter, f"claim-{time.time_ns()}"
    with ThreadPoolExecutor(8) as threads:
        left = list(threads.map(lambda _: used.claim(60, "mail", name), range(8)))
    assert min(left) == 0
    assert all(50 < seconds <= 60 for seconds in sorted(left)[1:])
    assert used.claim(60, "mail", f"{name}-other") == 0


@pytest.mark.parametrize("away", [False, True], ids=["in Redis", "without Redis"])
def test_a_claim_ends(limiter, away):
    used, name = RateLimiter("redis://127.0.0.1:1/0") if away else limiter, f"claim-{time.time_ns()}"
    assert used.claim(1, name) == 0
    assert used.claim(1, name) == 1
    until = time.monotonic() + 10
    while used.claim(1, name) and time.monotonic() < until:
        time.sleep(0.05)
    assert time.monotonic() < until

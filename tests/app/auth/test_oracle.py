"""Nobody learns from Auth whether somebody has an account: neither by what is answered nor by how long it takes."""

from __future__ import annotations

import statistics
import time

import pytest

from tests.app.auth.people import joined, new_email, sign_in, sign_up

ROUNDS, TRIES, APART_MS = 15, 4, 5.0


def medians(known, unknown, rounds=ROUNDS):
    """Milliseconds that each takes, asked by turns: whatever else the machine does falls on both."""
    took = {known: [], unknown: []}
    for number in range(rounds):
        for ask in (known, unknown) if number % 2 else (unknown, known):
            began = time.perf_counter()
            ask()
            took[ask].append((time.perf_counter() - began) * 1000)
    return statistics.median(took[known]), statistics.median(took[unknown])


def ensure_same_time(known, unknown):
    """What differs by itself differs each time; what a busy machine makes of it does not."""
    seen = []
    for _ in range(TRIES):
        seen.append(medians(known, unknown))
        # A hash that a busy machine is slow with is slow by more than that, now for the one and now for the other.
        if abs(seen[-1][0] - seen[-1][1]) < max(APART_MS, min(seen[-1]) / 4):
            return
    raise AssertionError(f"known and unknown addresses are apart: {seen}")


@pytest.mark.timing
def test_a_wrong_password_and_an_unknown_address_take_the_same_time(auth):
    person = joined(auth)
    ensure_same_time(
        lambda: sign_in(auth, person.email, "wrong password"), lambda: sign_in(auth, new_email(), "wrong password")
    )


@pytest.mark.timing
@pytest.mark.full
def test_a_hundred_wrong_passwords_tell_no_known_address_from_an_unknown_one(auth):
    """For a machine that does nothing else; test_letter_limits.py has the same of letters and of sign-ups."""
    person = joined(auth)
    found = medians(
        lambda: sign_in(auth, person.email, "wrong password"),
        lambda: sign_in(auth, new_email(), "wrong password"),
        rounds=100,
    )
    assert abs(found[0] - found[1]) < APART_MS, found


def test_a_wrong_password_and_an_unknown_address_are_answered_alike(auth):
    person = joined(auth)
    answers = [sign_in(auth, email, "wrong password") for email in (person.email, new_email())]
    assert answers[0].status_code == answers[1].status_code == 400
    assert answers[0].data == answers[1].data
    assert list(answers[0].headers.keys()) == list(answers[1].headers.keys())


@pytest.mark.timing
def test_a_sign_up_with_a_taken_address_takes_the_time_of_one_with_a_new_one(auth):
    person = joined(auth)
    auth.configure(autoconfirm=False, mail_interval_seconds=0)  # else the second one is told to wait, known or not
    ensure_same_time(lambda: sign_up(auth, person.email), lambda: sign_up(auth))


def test_answers_to_a_sign_up_differ_in_what_is_new_each_time_and_in_identities_alone(auth):
    person = joined(auth)
    auth.configure(autoconfirm=False)
    taken, new = sign_up(auth, person.email), sign_up(auth)
    assert taken.status_code == new.status_code == 200
    assert {name.lower() for name, _ in taken.headers} == {name.lower() for name, _ in new.headers}
    differing = {name for name in {*taken.json, *new.json} if taken.json.get(name) != new.json.get(name)}
    own = {"id", "email", "created_at", "updated_at", "confirmation_sent_at", "identities"}
    assert differing <= own

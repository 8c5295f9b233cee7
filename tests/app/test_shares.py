"""Everybody has a share of the server's threads: what one project, or who signs in, asks too much holds up nobody else."""

from __future__ import annotations

import pytest

from app.server import shares
from app.server.shares import Figures, Lane, Shares, account_of, lane_of

A, B = Lane("project", "proj_a"), Lane("project", "proj_b")
ID = "proj_0123456789abcdef"


@pytest.mark.parametrize(
    ("path", "lane"),
    [
        (f"/db/{ID}/notes", ("project", ID)),
        (f"/db/{ID}", ("project", ID)),
        (f"//project/{ID}/rest/v1/notes", ("project", ID)),
        (f"/auth/{ID}/token", ("project", ID)),
        (f"/storage/{ID}/object", ("project", ID)),
        (f"/%64b/{ID.replace('p', '%70')}/notes", ("project", ID)),
        (f"http://any.example/db/{ID}/notes", ("project", ID)),
        (f"HTTP://any.example/db/{ID}/notes", ("project", ID)),
        ("/api/auth/login", ("sign-in", "10.0.0.1")),
        ("/api/auth/%6cogin", ("sign-in", "10.0.0.1")),
        ("/api/auth/register", ("sign-in", "10.0.0.1")),
        ("/api/auth/me", ("other", "10.0.0.1")),
        (f"/api/projects/{ID}", ("other", "10.0.0.1")),
        ("/db/proj_none/notes", ("other", "10.0.0.1")),
        ("/api/health", ("other", "10.0.0.1")),
        ("", ("other", "10.0.0.1")),
    ],
)
def test_a_request_is_known_by_its_path_however_that_is_written(path, lane):
    assert lane_of(path, "10.0.0.1") == Lane(*lane)


def entered(made, lane, count, *, streamed=False):
    """Ask so often; return how that ended."""
    told = [made.admit((lane.key, streamed, number), lane, streamed=streamed) for number in range(count)]
    return {answer: told.count(answer) for answer in dict.fromkeys(told)}


def test_one_project_gets_a_fifth_of_the_threads_and_its_others_wait_without_one():
    made = Shares(60)
    assert entered(made, A, 1000) == {"now": 12, "waits": 128, "full": 860}
    assert entered(made, B, 12) == {"now": 12}
    assert entered(made, Lane("project", "proj_c"), 1) == {"waits": 1}, "all projects together have two fifths"
    assert entered(made, Lane("other"), 1000) == {"now": 1000}, "whatever else is asked is asked as ever"


def test_who_had_least_is_next():
    made = Shares(10)  # two for a project, four for all
    assert entered(made, A, 6) == {"now": 2, "waits": 4}
    assert entered(made, Lane("project", "proj_c"), 6) == {"now": 2, "waits": 4}
    assert entered(made, B, 1) == {"waits": 1}
    [one] = made.release(("proj_a", False, 0))
    [two] = made.release(("proj_c", False, 0))
    assert (one[0], two[0]) == ("proj_a", "proj_c"), "in turns"
    [three] = made.release(("proj_a", False, 1))
    assert three[0] == "proj_b"


def test_everybody_who_waited_gets_their_turn():
    made, busy, done = Shares(10), [], 0
    for lane in (A, B):
        for number in range(50):
            conn = (lane.key, number)
            if made.admit(conn, lane, streamed=number % 2 == 0) == "now":
                busy.append(conn)
    while busy:
        done += 1
        busy += made.release(busy.pop(0))
    assert done == 100
    assert made.admit("again", A, streamed=True) == "now"


def test_sign_ins_have_few_threads_and_one_client_half_of_them():
    made = Shares(64)
    assert entered(made, Lane("sign-in", "10.0.0.1"), 120) == {"now": 2, "waits": 16, "full": 102}
    assert entered(made, Lane("sign-in", "10.0.0.2"), 1) == {"now": 1}
    elsewhere = [entered(made, Lane("sign-in", f"10.1.0.{number}"), 1) for number in range(120)]
    assert elsewhere.count({"now": 1}) == 1
    assert elsewhere.count({"full": 1}) > 0, "what waits is bounded, too"


@pytest.mark.parametrize(
    ("lane", "arrived", "account"),
    [
        ("sign-in", b'POST / HTTP/1.1\r\n\r\n{"password": "x", "email" : " Ann@Example.org"}', "ann@example.org"),
        ("sign-in", b'POST / HTTP/1.1\r\n\r\n{"token": "x"}', ""),
        ("sign-in", b"POST / HTTP/1.1\r\n\r\n", ""),
        ("project", b'POST / HTTP/1.1\r\n\r\n{"email": "ann@example.org"}', ""),
    ],
)
def test_a_sign_in_is_known_by_its_account(lane, arrived, account):
    assert account_of(Lane(lane, "x"), arrived) == account


def test_an_account_that_is_tried_from_everywhere_leaves_the_others_theirs():
    made = Shares(64, figures=Figures())
    tried = [Lane("sign-in", f"10.1.0.{number}") for number in range(120)]
    came = [made.admit(object(), lane, streamed=False, account="ann@example.org") for lane in tried]
    assert [came.count(each) for each in ("now", "waits", "full")] == [2, 32, 86]
    mine = object()
    assert made.admit(mine, Lane("sign-in", "10.9.0.1"), streamed=False, account="bob@example.org") == "now"
    assert len(made.release(mine)) == 0, "nor does it get the thread that another has left"


def test_who_is_at_their_accounts_share_holds_up_nobody_of_the_same_address():
    made = Shares(128, figures=Figures())
    office = Lane("sign-in", "10.0.0.1")
    busy = [object() for _ in range(4)]
    for each in busy:
        assert (
            made.admit(each, Lane("sign-in", f"10.2.0.{id(each)}"), streamed=False, account="ann@example.org") == "now"
        )
    first, second = object(), object()
    assert made.admit(first, office, streamed=False, account="ann@example.org") == "waits"
    assert made.admit(second, office, streamed=False, account="bob@example.org") == "waits"
    other = object()
    assert made.admit(other, Lane("sign-in", "10.3.0.1"), streamed=False, account="cy@example.org") == "now"
    assert made.release(other) == [second]
    assert made.release(busy[0]) == [first]


def test_what_is_used_waits_and_was_refused_is_counted_and_who_was_refused_is_known():
    figures = Figures()
    made = Shares(64, figures=figures)
    held = [object() for _ in range(12 + 128 + 5)]
    for each in held:
        made.admit(each, A, streamed=False)
    assert figures.limits == {"project": 25, "sign-in": 4}
    assert (figures.used["project"], figures.waiting["project"], figures.refused["project"]) == (12, 128, 5)
    assert [(lane, count) for lane, (count, _at) in figures.last.items()] == [(A, 5)]
    for each in held[:140]:
        made.release(each)
    assert (figures.used["project"], figures.waiting["project"], figures.refused["project"]) == (0, 0, 5)
    for number in range(shares.REMEMBERED * 2):
        figures.refuse(Lane("project", f"proj_{number}"))
    assert len(figures.last) == shares.REMEMBERED


def test_bodies_that_come_slowly_hold_few_threads_and_nothing_else_up():
    made = Shares(64)
    assert entered(made, A, 20, streamed=True) == {"now": 8, "waits": 12}
    assert entered(made, Lane("other", "10.0.0.1"), 100, streamed=True) == {"now": 8, "waits": 92}
    assert entered(made, B, 4, streamed=True) == {"waits": 4}, "a quarter of the threads at most"
    for lane in (A, B, Lane("other", "10.0.0.1")):
        assert entered(made, lane, 1) == {"now": 1}, "a request that is there already waits for no body"


def test_a_server_of_one_project_has_all_threads_for_it():
    made = Shares(16, alone=True)
    assert entered(made, A, 100) == {"now": 100}
    assert entered(made, A, 20, streamed=True) == {"now": 8, "waits": 12}


def test_nobody_waits_for_ever_but_what_has_no_share(monkeypatch):
    made = Shares(10)
    entered(made, A, 5)
    assert made.overdue() == []
    monkeypatch.setattr(shares, "WAIT_SECONDS", -1.0)
    entered(made, B, 5)
    assert [kind for _, kind in made.overdue()] == ["project"] * 3
    assert made.overdue() == []

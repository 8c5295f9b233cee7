"""Previews of letters through the API: of what is set, of what is tried, and of nobody else's project."""

from __future__ import annotations

import pytest

from tests.app.test_bad_input import problem
from tests.app.test_project_settings import waiting  # noqa: F401 - a fixture

KINDS = ["confirmation", "recovery", "magicLink", "invite", "emailChange", "reauthentication"]


@pytest.fixture
def previews(waiting):  # noqa: F811 - the fixture
    return waiting.replace("/settings", "/mail-templates/preview")


@pytest.mark.parametrize("kind", KINDS)
def test_the_built_in_letters_are_shown(owner, previews, kind):
    shown = owner.post(previews, json={"kind": kind}).json()
    assert shown["kind"] == kind
    assert "123456" in shown["html"]
    assert ("/auth/v1/verify?token=" in shown["text"]) == (kind != "reauthentication")


def test_what_is_set_is_shown_and_what_is_tried_instead_of_it(owner, waiting, previews):  # noqa: F811
    own = {"subject": "Hi {{ .Data.name }}", "body": "<a href='{{ .ConfirmationURL }}'>{{ .Data.name }}</a>"}
    owner.patch(waiting, json={"siteUrl": "https://shop.example.org", "mailTemplates": {"recovery": own}})
    asked = {"kind": "recovery", "data": {"name": "<Ann>"}}
    shown = owner.post(previews, json=asked).json()
    assert shown["subject"] == "Hi <Ann>"
    assert ">&lt;Ann&gt;</a>" in shown["html"]
    assert "redirect_to=https://shop.example.org" in shown["text"]
    tried = {"recovery": {"subject": "Other", "body": "{{ .Token }}", "text": "Code {{ .Token }}"}}
    shown = owner.post(previews, json={**asked, "mailTemplates": tried}).json()
    assert (shown["subject"], shown["html"], shown["text"]) == ("Other", "123456", "Code 123456")
    built_in = owner.post(previews, json={**asked, "mailTemplates": {"recovery": None}}).json()
    assert built_in["subject"] == "Reset your password"
    assert owner.post(previews, json={**asked, "mailTemplates": {"invite": None}}).json()["subject"] == "Hi <Ann>"
    assert owner.get(waiting).json()["settings"]["mailTemplates"]["recovery"]["subject"] == own["subject"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/kind"),
        ({"kind": "magic_link"}, "/kind"),
        ({"kind": "recovery", "data": []}, "/data"),
        (
            {"kind": "recovery", "mailTemplates": {"recovery": {"subject": "x", "body": "x"}}},
            "/mailTemplates/recovery/body",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused_member_by_member(owner, previews, body, pointer):
    refused = problem(owner.post(previews, json=body), 422)
    assert [error["pointer"] for error in refused["errors"]] == [pointer]


def test_nobody_sees_the_letters_of_others(owner, previews, town):
    problem(town.owner().post(previews, json={"kind": "recovery"}), 404)

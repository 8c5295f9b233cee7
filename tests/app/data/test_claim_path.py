"""The path to the claim that names a role: what is one, and where it leads."""

from __future__ import annotations

import pytest

from app.data import claim_path

ROLES = {
    "realm": {"roles": ["other", "the_author", 5]},
    "https://x/roles": [{"value": "b"}],
    'q"uote': "c",
    "role": "a",
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".role", "a"),
        ("$.role", "a"),
        ("$$.role", "a"),
        (".realm.roles[1]", "the_author"),
        (".realm.roles[9]", None),
        (".realm.nothing.role", None),
        ('."https://x/roles"[0].value', "b"),
        ('$["https://x/roles"][0]["value"]', "b"),
        ('."q\\"uote"', "c"),
        ('.realm.roles[?(@ == "the_author")]', "the_author"),
        ('.realm.roles[?(@ != "other")]', "the_author"),
        ('.realm.roles[?(@ ^== "the_")]', "the_author"),
        ('.realm.roles[?(@ ==^ "author")]', "the_author"),
        ('.realm.roles[?(@ *== "_auth")]', "the_author"),
        ('.realm.roles[?(@ == "5")]', None),
        ('.role[?(@ == "a")]', None),
    ],
)
def test_a_path_leads_to_a_claim(path, found):
    assert claim_path.is_path(path)
    assert claim_path.find(path, ROLES) == found


@pytest.mark.parametrize(
    "path",
    ["", "$", "role", ".role##", ".my_role;;domain", ".#$$%&$%/", "1234", ".role[?(@ =)]", "@@.role.other", "$$$.a", ".a[", ".a[x]",
     '.a[?(@ == "x")].b', ".a[?(@ == x)]", ".a.", '."a'],
)  # fmt: skip
def test_what_is_no_path_is_refused(path):
    assert not claim_path.is_path(path)

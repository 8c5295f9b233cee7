"""Names of outside things are made of the opaque id, in one place, and of nothing else."""

from __future__ import annotations

import pytest

from catalog import names
from catalog.ids import new_project_id

BAD = [
    "",
    "proj_",
    "proj_ABCDEF0123456789",
    "proj_0123456789abcdef\n",
    "proj_0123456789abcde\0",
    'proj_"; DROP ROLE x; --',
    "../proj_0123456789abcdef",
    "proj_０１２３４５６７８９abcdef",
    "proj_" + "a" * 64,
]


@pytest.mark.parametrize("make", [names.database, names.instance, names.roles])
@pytest.mark.parametrize("text", BAD)
def test_what_is_no_project_id_makes_no_name(make, text):
    with pytest.raises(ValueError, match="not a project id"):
        make(text)


def test_no_name_is_cut_by_postgres_and_no_two_roles_are_one():
    roles = names.roles(new_project_id())
    assert len(set(roles.all)) == 8
    assert max(map(len, roles.all)) <= 63
    assert set(roles.all) == set(roles.api) | set(roles.logins)


def test_each_login_has_a_password_of_its_own():
    roles = names.roles(new_project_id())
    assert {names.password(login) for login in roles.logins} == {
        "password:owner",
        "password:authenticator",
        "password:auth",
        "password:storage",
        "password:dump",
    }

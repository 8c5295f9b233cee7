"""The description of a project and the hints of faults name what the caller may use, and nothing else."""

from __future__ import annotations

import dataclasses
import json
from contextlib import closing

import pytest

from app.data.config import from_values
from app.data.run.connections import Budget
from app.data.run.instance import Instance
from tests.app.data.conftest import SECRET, token
from tests.app.data.harm import ask

TABLES = """
CREATE TABLE shown (id int PRIMARY KEY, told text);
CREATE TABLE salaries (id int PRIMARY KEY REFERENCES shown, amount int);
CREATE TABLE partly (id int PRIMARY KEY, open text, secret text);
CREATE TABLE readable (id int PRIMARY KEY);
CREATE VIEW salaries_seen AS SELECT * FROM salaries;
CREATE SCHEMA closed; CREATE TABLE closed.within (id int); GRANT ALL ON closed.within TO PUBLIC;
CREATE TABLE people (id int PRIMARY KEY, boss int REFERENCES people);
CREATE TABLE offices (id int PRIMARY KEY, head int REFERENCES people, deputy int REFERENCES people);
CREATE TABLE affairs (office int REFERENCES offices, person int REFERENCES people, PRIMARY KEY (office, person));
CREATE FUNCTION raise_salary(amount int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION greet(name text) RETURNS text LANGUAGE sql AS 'SELECT 1::text';
CREATE FUNCTION greet(name text, secret int) RETURNS text LANGUAGE sql AS 'SELECT 1::text';
REVOKE ALL ON salaries, salaries_seen, partly, readable, affairs FROM anon, authenticated, service_role;
GRANT SELECT (id, open) ON partly TO anon; GRANT SELECT ON readable TO anon;
GRANT ALL ON salaries, salaries_seen, affairs TO service_role;
REVOKE ALL ON FUNCTION raise_salary, greet(text, int) FROM PUBLIC, anon, authenticated;
"""


@pytest.fixture(scope="module")
def api(tenant):
    """A data API of a project, some of which is for its service key alone."""
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute(TABLES)
    read = {
        "db-uri": tenant.uri(tenant.roles.authenticator),
        "db-anon-role": tenant.roles.anon,
        "db-schemas": "public,closed",
        "jwt-secret": SECRET,
        "jwt-role-claim-key": ".db_role",
    }
    with closing(Instance(from_values(read), Budget(5))) as instance:
        yield instance


def described(api, role="anon", **headers):
    status, body = ask(api, "GET", "/", None, {"authorization": f"Bearer {token({'role': role})}", **headers})
    assert status == 200, body
    return json.loads(body)


def fault(api, target, role="anon"):
    return json.loads(ask(api, "GET", target, None, {"authorization": f"Bearer {token({'role': role})}"})[1])


def test_what_a_caller_may_not_use_is_not_described(api):
    found = described(api)
    assert set(found["definitions"]) == {"shown", "partly", "readable", "people", "offices"}
    assert {path for path in found["paths"] if path.startswith("/rpc")} == {"/rpc/greet"}
    assert set(found["paths"]["/readable"]) == {"get"}
    assert set(found["paths"]["/shown"]) == {"get", "post", "patch", "delete"}
    assert "salar" not in json.dumps(found)


def test_another_caller_is_shown_what_is_theirs(api):
    found = described(api, "service_role")
    assert {"salaries", "salaries_seen", "affairs"} <= set(found["definitions"])
    assert "/rpc/raise_salary" in found["paths"]


def test_a_schema_that_is_not_for_a_caller_is_empty(api):
    assert described(api, **{"accept-profile": "closed"})["definitions"] == {}


def test_a_grant_counts_at_once(api, tenant):
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("GRANT INSERT ON salaries TO anon")
        assert set(described(api)["paths"]["/salaries"]) == {"get", "post"}
        owner.execute("REVOKE ALL ON salaries FROM anon")
        assert "salaries" not in described(api)["definitions"]


def test_all_is_described_where_the_configuration_says_so(api):
    with closing(Instance(dataclasses.replace(api.config, openapi_mode="ignore-privileges"), Budget(5))) as all_of_it:
        assert "salaries" in described(all_of_it)["definitions"]


@pytest.mark.parametrize(
    ("target", "code", "word"),
    [
        ("/salarie", "PGRST205", "salaries"),
        ("/shown?select=salarie(*)", "PGRST200", "salaries"),
        ("/rpc/raise_salar?amount=1", "PGRST202", "raise_salary"),
        ("/rpc/greet?name=a&secre=1", "PGRST202", "secret"),
        ("/offices?select=people(*)", "PGRST201", "affairs"),
    ],
)
def test_a_hint_names_only_what_the_caller_may_use(api, target, code, word):
    seen, full = fault(api, target), fault(api, target, "service_role")
    assert (seen["code"], full["code"]) == (code, code)
    assert word in json.dumps(full)
    assert word not in json.dumps(seen), "A hint names what its reader has no right to"


def test_a_hint_still_helps_with_what_the_caller_may_use(api):
    assert fault(api, "/show")["hint"] == "Perhaps you meant the table 'public.shown'"

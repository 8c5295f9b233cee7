"""The official Python client against a data API on a TCP port: what its users see of good and of refused requests."""

from __future__ import annotations

import uuid

import httpx
import pytest
from postgrest import APIError, SyncPostgrestClient

TABLES = """
CREATE TABLE parcels (id uuid PRIMARY KEY, label text NOT NULL, weight int CHECK (weight > 0));
INSERT INTO parcels SELECT md5(n::text)::uuid, 'parcel ' || n, n FROM generate_series(1, 1000) n;
CREATE FUNCTION boom(x int) RETURNS int LANGUAGE plpgsql AS
    $$BEGIN IF x < 0 THEN RAISE 'no % parcels', x; END IF; RETURN x; END$$;
CREATE FUNCTION picked(ids uuid[]) RETURNS SETOF parcels LANGUAGE sql STABLE AS
    'SELECT * FROM parcels WHERE id = ANY (ids)';
"""


@pytest.fixture(scope="module")
def ids(server):
    """The keys of the parcels."""
    server.project.admin.execute(TABLES)
    return [row[0] for row in server.project.admin.execute("SELECT id FROM parcels ORDER BY weight").fetchall()]


@pytest.fixture
def client(server, ids):
    """The client, with one connection that is kept."""
    with httpx.Client(base_url=server.url, timeout=20) as http:
        made = SyncPostgrestClient(
            server.url, headers={"Authorization": f"Bearer {server.project.key('service_role')}"}, http_client=http
        )
        yield made


def test_rows_are_read_written_and_counted(client, ids):
    new = str(uuid.uuid4())
    # What is written here is rolled back: the project ends transactions so unless it is told otherwise.
    assert client.from_("parcels").insert({"id": new, "label": "new", "weight": 5}).execute().data[0]["id"] == new
    found = client.from_("parcels").select("label", count="exact").lte("weight", 3).order("weight").execute()
    assert ([row["label"] for row in found.data], found.count) == (["parcel 1", "parcel 2", "parcel 3"], 3)
    assert client.rpc("boom", {"x": 7}).execute().data == 7


def test_after_requests_that_fail_good_ones_of_the_same_shape_succeed(client, ids):
    for attempt in range(12):
        with pytest.raises(APIError, match=r"no -1 parcels") as raised:
            client.rpc("boom", {"x": -1}).execute()
        assert raised.value.code == "P0001"
        with pytest.raises(APIError) as duplicate:
            client.from_("parcels").insert({"id": str(ids[0]), "label": "again"}).execute()
        assert duplicate.value.code == "23505"
        with pytest.raises(APIError) as malformed:
            client.from_("parcels").select("*").eq("id", "abc").execute()
        assert malformed.value.code == "22P02"
        assert client.rpc("boom", {"x": attempt}).execute().data == attempt
        assert (
            client.from_("parcels").select("*").eq("id", str(ids[attempt])).execute().data[0]["weight"] == attempt + 1
        )
        new = client.from_("parcels").insert({"id": str(uuid.uuid4()), "label": "new"}).execute()
        assert new.data[0]["label"] == "new"


def test_a_list_of_four_hundred_ids_is_answered(client, ids):
    found = client.from_("parcels").select("id").in_("id", [str(each) for each in ids[:400]]).execute()
    assert {row["id"] for row in found.data} == {str(each) for each in ids[:400]}


def test_a_list_that_is_too_long_is_refused_with_a_message(client, ids):
    with pytest.raises(APIError) as refused:
        client.from_("parcels").select("id").in_("id", [str(each) for each in ids[:600]]).execute()
    assert refused.value.code == "PGRST125"
    assert refused.value.message == "The URL is too long"
    assert "16 KiB" in refused.value.hint
    with pytest.raises(APIError, match="URL is too long"):
        client.from_("parcels").select("id").in_("id", [str(each) for each in ids] + ["x" * 20_000]).execute()
    # As the hint says.
    found = client.rpc("picked", {"ids": [str(each) for each in ids]}).execute()
    assert len(found.data) == 1000

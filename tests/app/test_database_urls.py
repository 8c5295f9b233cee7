"""Where a client is told to find its database: only where it can."""

from __future__ import annotations

from dataclasses import replace

from app.platform.projects.projects import NOT_PUBLIC, _database_urls


def urls(infra, **settings):
    changed = replace(infra, settings=infra.settings.model_copy(update=settings))
    return _database_urls(changed, "proj_0123456789abcdef", "proj_0123456789abcdef_owner", "a/b")


def test_without_containers_it_is_the_server_itself(infra):
    found = urls(infra)
    assert found["databaseUrl"] == infra.databases.uri("proj_0123456789abcdef", "proj_0123456789abcdef_owner", "a/b")
    assert (found["poolerUrl"], found["reason"]) == (None, None)


def test_in_containers_it_is_nowhere_unless_a_public_port_is_named(infra):
    assert urls(infra, runtime="broker") == {"databaseUrl": None, "poolerUrl": None, "reason": NOT_PUBLIC}
    found = urls(infra, runtime="broker", database_public_host="db.example.org:5432")
    owner = "proj_0123456789abcdef_owner:a%2Fb"
    assert found["databaseUrl"] == f"postgresql://{owner}@db.example.org:5432/proj_0123456789abcdef"
    assert found["poolerUrl"] is None
    assert "within" in found["reason"]

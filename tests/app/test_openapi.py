"""The description of the API is the API: the same routes, and answers as described."""

from __future__ import annotations

import json
import random
import re
import urllib.parse

import jsonschema
import pytest

from app.factory import operations
from app.http.routing import Operation

GENERATED = 500
GENERATED_IN_FULL = 10_000
# What any parser may trip over, beside values that are nearly right.
DEAR = ("owners.register", "owners.login", "accounts.change_password", "jobs.stream")
NASTY = ["", " ", "a", "\0", "\ud7ff", "é", "%", "../..", "'; --", "a" * 300, "1", "-1", "null", "{}", "\n", "\u202e"]


@pytest.fixture
def document(town):
    return town.stranger().get("/api/openapi.json").json()


def test_every_route_is_described_and_nothing_else(app, document):
    served = {
        (method, re.sub(r"<(\w+)>", r"{\1}", str(rule)))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD"}
        if str(rule) != "/"
    }
    described = {(method.upper(), path) for path, found in document["paths"].items() for method in found}
    assert served == described
    assert document["openapi"].startswith("3.1")


def test_every_schema_is_a_schema_and_every_reference_leads_somewhere(document):
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for name in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)):
        assert name in document["components"]["schemas"]


def test_answers_are_as_described(town, document):
    boss = town.owner(operator=True)
    made = boss.post("/api/projects", json={"name": "a"})
    ids = {"project_id": made.json()["project"]["id"], "job_id": made.json()["job"]["id"]}
    ids["backup_id"] = f"bkp_{'0' * 32}"  # one that is there: tests/app/test_backups.py
    check(document, "post", "/api/projects", made)
    check(document, "post", "/api/tokens", boss.post("/api/tokens", json={"name": "t"}))
    for path, methods in document["paths"].items():
        if "get" not in methods or path.endswith(("events", "openapi.json")):
            continue
        check(document, "get", path, boss.get(path.format(**ids)))
    cancelled = boss.post(f"/api/jobs/{ids['job_id']}/cancel")
    check(document, "post", "/api/jobs/{job_id}/cancel", cancelled)


def check(document, method, path, answer):
    described = document["paths"][path][method]["responses"]
    found = described.get(str(answer.status_code), described["default"])
    [(media_type, content)] = found["content"].items()
    assert answer.headers["Content-Type"] == media_type
    schema = {**content["schema"], "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(answer.json())


def test_no_name_in_a_path_breaks_anything(town, document):
    """Each name of each path, one at a time, is one that Postgres cannot even hold, or that leads elsewhere."""
    boss = town.owner(operator=True)
    made = boss.post("/api/projects", json={"name": "a"}).json()
    right = {"project_id": made["project"]["id"], "job_id": made["job"]["id"]}
    for path, methods in document["paths"].items():
        names = re.findall(r"{(\w+)}", path)
        for name in names:
            for bad in ("%00", "..%2F..", "%27", "a" * 300):
                target = path.format(**{**dict.fromkeys(names, "1"), **right, name: bad})
                for method in methods:
                    answer = boss.client.request(method, target, json={})
                    assert answer.status_code < 500, (method, target, answer.text)


class Generator:
    """Requests that the description allows, and ones that it nearly allows, from a seed."""

    def __init__(self, document, ids, seed) -> None:
        self.document, self.ids, self.random = document, ids, random.Random(seed)

    def request(self, operation: Operation):
        path = re.sub(r"<(\w+)>", lambda found: self.path(found[1]), operation.rule)
        described = self.document["paths"][re.sub(r"<(\w+)>", r"{\1}", operation.rule)][operation.method.lower()]
        query = {
            parameter["name"]: str(self.value(parameter["schema"]))
            for parameter in described["parameters"]
            if parameter["in"] == "query" and self.random.random() < 0.5 and parameter["name"] != "wait"
        }
        headers = {"Content-Type": "application/json"}
        if self.random.random() < 0.3:
            headers["Idempotency-Key"] = self.random.choice(["k", "k2", "a b"])
        body = b""
        if "requestBody" in described:
            schema = described["requestBody"]["content"]["application/json"]["schema"]
            body = json.dumps(self.value(schema)).encode()
            if self.random.random() < 0.1:
                body = body[: self.random.randrange(len(body) + 1)]
        target = path + ("?" + urllib.parse.urlencode(query, errors="replace") if query else "")
        return operation.method, target, headers, body

    def path(self, name):
        if self.random.random() < 0.6:
            return self.ids[name]
        return urllib.parse.quote(self.random.choice([nasty for nasty in NASTY if nasty]), safe="")

    def value(self, schema):
        if "$ref" in schema:
            return self.value(self.document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
        if self.random.random() < 0.15:
            return self.random.choice([None, True, 1.5, -1, 10**18, [], {}, [[[]]], *NASTY])
        if "anyOf" in schema:
            return self.value(self.random.choice(schema["anyOf"]))
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        return self.of_type(schema)

    def of_type(self, schema):
        match schema.get("type"):
            case "object":
                wanted = set(schema.get("required", []))
                members = {
                    name: self.value(member)
                    for name, member in schema.get("properties", {}).items()
                    if name in wanted or self.random.random() < 0.6
                }
                return {**members, **({"owner_id": "x"} if self.random.random() < 0.1 else {})}
            case "integer":
                return self.random.randint(schema.get("minimum", -5) - 1, schema.get("maximum", 300) + 1)
            case "string":
                return self.random.choice([*NASTY, "shop", "a@example.org", "2999-01-01T00:00:00Z"])
        return None


def generated(town, document, count):
    """Send generated requests as an operator; return those that went wrong."""
    boss = town.owner(operator=True)
    made = boss.post("/api/projects", json={"name": "a"}).json()
    token = boss.post("/api/tokens", json={"name": "t"}).json()
    ids = {"project_id": made["project"]["id"], "job_id": made["job"]["id"], "token_id": token["id"], "queue": "bulk"}
    session = town.signed_in().get("/api/auth/sessions").json()["sessions"][0]["id"]
    ids["backup_id"] = f"bkp_{'0' * 32}"
    ids |= {
        "key_id": f"key_{'0' * 32}",
        "schedule": "vacuum",
        "owner_id": town.owner().id,
        "session_id": session,
        "check": "projects",
    }
    generator = Generator(document, ids, seed=3)
    client = town.app.test_client()
    # Password hashes cost what they should; a few are enough here.
    cheap = [found for found in operations() if found.name not in DEAR]
    wrong = []
    for number in range(count):
        operation = generator.random.choice(cheap if number % 50 else operations())
        if operation.name == "jobs.stream":
            continue
        method, target, headers, body = generator.request(operation)
        headers = {**headers, "Authorization": boss.client.headers["Authorization"]}
        # Each comes from another address, so that no limit hides what it does.
        address = {"REMOTE_ADDR": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}
        answer = client.open(target, method=method, headers=headers, data=body, environ_base=address)
        if answer.status_code >= 500 or (answer.status_code >= 400 and answer.mimetype != "application/problem+json"):
            wrong.append((method, target, body, answer.status_code, answer.text[:200]))
    return wrong


def test_generated_requests_are_answered_without_a_fault_of_ours(town, document):
    assert generated(town, document, GENERATED) == []


@pytest.mark.full
def test_many_generated_requests_are_answered_without_a_fault_of_ours(town, document):
    assert generated(town, document, GENERATED_IN_FULL) == []

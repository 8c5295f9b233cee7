"""What the reference answers, as tables: `cases/<area>.jsonl` holds a behaviour a line.

given   what is there before: buckets, objects, people, policies, requests that were answered
asks    one request: method, path, as whom, and a body (json, text, or the parts of a form)
answer  what is compared of the answer. `$uuid`, `$string` and the like stand for any such value
then    more requests, with their answers
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from pathlib import Path

import pytest

AREAS = sorted(Path(__file__).parent.glob("cases/*.jsonl"))
CASES = [
    pytest.param(json.loads(line), id=f"{path.stem}: {json.loads(line)['name']}")
    for path in AREAS
    for line in path.read_text().splitlines()
]
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.mark.parametrize("case", CASES)
def test_the_reference_answers_so(storage, case):
    asking = Asking(storage)
    for step in case["given"]:
        asking.prepare(step)
    asking.check(case["asks"], case["answer"])
    for then in case.get("then", []):
        asking.check(then["asks"], then["answer"])


class Asking:
    """One case: its values, and the requests made in its name."""

    def __init__(self, storage) -> None:
        self.storage, rand = storage, secrets.token_hex(5)
        self.values = {"rand": rand, "bucket": f"c-{rand}", "absent": f"none-{rand}"}

    def prepare(self, step) -> None:
        ((kind, value),) = step.items()
        getattr(self, f"given_{kind}")(value)

    def given_bucket(self, fields):
        self.ask({"method": "POST", "path": "/bucket", "as": "service", "json": {"name": "${bucket}", **fields}}, 200)

    def given_object(self, wanted):
        headers = {"content-type": wanted.get("type", "text/plain"), **wanted.get("headers", {})}
        path = f"/object/{wanted.get('bucket', '${bucket}')}/{wanted['path']}"
        text = wanted.get("text", "hello")
        self.ask({"method": "POST", "path": path, "as": "service", "text": text, "headers": headers}, 200)

    def given_objects(self, paths):
        for path in paths:
            self.given_object({"path": path})

    def given_person(self, person):
        self.values[person["name"]] = self.storage.person()[1]

    def given_policy(self, policy):
        name = f"p_{secrets.token_hex(5)}"
        self.storage.policy(
            f"CREATE POLICY {name} ON storage.{policy['on']} FOR {policy['for']} TO {policy['to']} "
            f"{self.fill(policy['rule'])}"
        )

    def given_asked(self, request):
        keep = request.pop("save", {})
        answer = self.ask(request, 200)
        for name, where in keep.items():
            self.values[name] = answer.headers[where[7:]] if where.startswith("header:") else answer.json[where]

    def given_sleep(self, seconds):
        self.storage.now = lambda: time.time() + float(seconds)

    def ask(self, request, status=None):
        request = self.fill(request)
        who = request.get("as", "anon")
        bearer = {"nobody": None, "service": "service_role"}.get(who, self.values.get(who, who))
        body, headers = request.get("json"), dict(request.get("headers", {}))
        if "text" in request:
            body = request["text"].encode()
        elif "form" in request:
            body, headers["Content-Type"] = form_of(request["form"])
        answer = self.storage.call(request["method"], request["path"], body, bearer=bearer, headers=headers)
        assert status is None or answer.status_code == status, (request, answer.text)
        return answer

    def check(self, request, wanted):
        answer, wanted = self.ask(request), self.fill(wanted)
        statuses = wanted["status"] if isinstance(wanted["status"], list) else [wanted["status"]]
        assert answer.status_code in statuses, answer.text
        for member in ("statusCode", "error", "message"):
            if member in wanted:
                assert_like(wanted[member], answer.json[member], member)
        if "body" in wanted:
            assert_like(wanted["body"], answer.json, "body")
        if "text" in wanted:
            assert answer.text == wanted["text"]
        for name, value in wanted.get("headers", {}).items():
            assert_like(value, answer.headers.get(name), name)

    def fill(self, value):
        if isinstance(value, str):
            return re.sub(r"\$\{([^{}]+)\}", lambda found: self.value(found[1]), value)
        if isinstance(value, list):
            return [self.fill(each) for each in value]
        return {self.fill(key): self.fill(each) for key, each in value.items()} if isinstance(value, dict) else value

    def value(self, name):
        if name.startswith("b64json:"):
            pairs = dict(pair.split("=") for pair in name.removeprefix("b64json:").split(","))
            return base64.b64encode(json.dumps(pairs).encode()).decode()
        return self.values[name]


def form_of(parts):
    mark, body = secrets.token_hex(8), ""
    for part in parts:
        file = f'; filename="{part["filename"]}"' if "filename" in part else ""
        kind = f"Content-Type: {part['type']}\r\n" if "type" in part else ""
        head = f'Content-Disposition: form-data; name="{part["name"]}"{file}\r\n{kind}'
        body += f"--{mark}\r\n{head}\r\n{part['text']}\r\n"
    return f"{body}--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"


def assert_like(wanted, got, where):
    if isinstance(wanted, str) and wanted.startswith("$"):
        kind, _, rest = wanted[1:].partition(":")
        likeness = {
            "any": lambda: got is not None,
            "string": lambda: isinstance(got, str),
            "nonempty": lambda: bool(got),
            "absent": lambda: got is None,
            "uuid": lambda: isinstance(got, str) and UUID.fullmatch(got),
            "len": lambda: len(got) == int(rest),
            "re": lambda: isinstance(got, str) and re.search(rest, got),
        }[kind]
        assert likeness(), f"{where}: {got!r} is not {wanted}"
    elif isinstance(wanted, dict):
        for key, value in wanted.items():
            assert_like(value, got.get(key), f"{where}.{key}")
    elif isinstance(wanted, list):
        assert len(got) == len(wanted), f"{where}: {got!r}"
        for number, (one, other) in enumerate(zip(wanted, got, strict=True)):
            assert_like(one, other, f"{where}[{number}]")
    else:
        assert got == wanted, where

"""Runs one behaviour that clients rely on, written as data in `cases/<area>.jsonl`, a line each.

    id        area and name
    settings  which of SETTINGS the project has; `on` when left out
    given     what there is before, in order: a user, a further sign-in, an anonymous user, a link, a token of ours with
              any claims, a factor, a request
    ask       the request: its method and path, `as` whom, and `json` or `text`
    answer    what comes: status, code, message, members of the body, headers, claims of the access token, location
    then      further requests, with their answers

In texts, `<name>` stands for what has been kept under that name: `<u.email>`, `<u.access>`, `<rand>`, `<times:3:a>`,
`<claim:u.access/session_id>`, `<totp:factor.secret>`. Expected values that begin with `~` are descriptions: see MATCHES.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import time
import uuid
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyotp

from infra.secrets import tokens

FOLDER = Path(__file__).parent / "cases"
COMMON = {
    "autoconfirm": True,
    "anonymous_sign_in": True,
    "sign_in_rate_per_minute": 100_000,
    "mails_per_hour": 100_000,
    "site_url": "https://site.example.com",
    "redirect_urls": ["https://app.example.com/**", "myapp://callback"],
}
SETTINGS = {
    "on": {},
    "confirm": {"autoconfirm": False},
    "closed": {"sign_up": False},
    "named": {"anonymous_sign_in": False},
    "no_totp": {"mfa_totp_enroll": False, "mfa_totp_verify": False},
    "one_factor": {"mfa_factors_max": 1},
    "passkeys": {"passkeys": True},
    "linking": {"manual_linking": True},
    "strict": {"password_min_length": 10, "password_characters": ["lower", "upper", "digit"]},
}
PASSWORD = "Str0ng-pass-1"
METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
_NAME = re.compile(r"<([a-z][\w.]*(?::[^<>]*)?)>")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MATCHES = {
    "any": lambda got, _: got is not None,
    "absent": lambda got, _: got is None,
    "empty": lambda got, _: not got,
    "nonempty": lambda got, _: bool(got),
    "string": lambda got, _: isinstance(got, str),
    "number": lambda got, _: isinstance(got, int | float) and not isinstance(got, bool),
    "list": lambda got, _: isinstance(got, list),
    "uuid": lambda got, _: isinstance(got, str) and bool(_UUID.fullmatch(got)),
    "jwt": lambda got, _: isinstance(got, str) and got.count(".") == 2,
    "not": lambda got, said: str(got) != said,
    "has": lambda got, said: got is not None and said in (got if isinstance(got, list) else str(got)),
    "re": lambda got, said: isinstance(got, str) and bool(re.search(said, got)),
    "len": lambda got, said: isinstance(got, list | str | dict) and len(got) == int(said),
    "atleast": lambda got, said: isinstance(got, list | str | dict) and len(got) >= int(said),
}


def cases():
    """Every case of every area."""
    return [json.loads(line) for file in sorted(FOLDER.glob("*.jsonl")) for line in file.read_text().splitlines()]


def claims_of(token):
    """The claims of a token, whoever signed it."""
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


class CaseRun:
    """One case: what it has kept so far, and the requests that are made in its name."""

    def __init__(self, auth) -> None:
        self.auth = auth
        verifier = secrets.token_urlsafe(40)
        digest = hashlib.sha256(verifier.encode()).digest()
        self.kept = {
            "rand": secrets.token_hex(5),
            "uuid": str(uuid.uuid4()),
            "anon": auth.key("anon"),
            "service": auth.key("service_role"),
            "base": auth.spec.url,
            "verifier": verifier,
            "challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "phone": "49" + str(secrets.randbelow(10**9)).zfill(9),
        }

    def run(self, case):
        """Bring about what is given, ask, and assert the answers."""
        self.auth.configure(**COMMON | SETTINGS[case.get("settings", "on")])
        for step in case.get("given", []):
            self.bring_about(self.filled(step))
        for exchange in [case, *case.get("then", [])]:
            self.judge(self.send(exchange["ask"]), self.filled(exchange["answer"]))

    # ---- values

    def filled(self, value):
        if isinstance(value, str):
            whole = _NAME.fullmatch(value)
            return self.value(whole[1]) if whole else _NAME.sub(lambda found: str(self.value(found[1])), value)
        if isinstance(value, list):
            return [self.filled(each) for each in value]
        if isinstance(value, dict):
            return {self.filled(name): self.filled(each) for name, each in value.items()}
        return value

    def value(self, name):
        kind, _, rest = name.partition(":")
        if kind == "totp":
            return pyotp.TOTP(self.kept[rest]).now()
        if kind == "claim":
            of, _, claim = rest.rpartition("/")
            return claims_of(self.kept[of]).get(claim)
        if kind == "times":
            number, _, text = rest.partition(":")
            return text * int(number)
        if kind == "b64json":
            members = dict(pair.split("=") for pair in rest.split(","))
            return base64.b64encode(json.dumps(members).encode()).decode()
        # Steps are filled before they run; what they themselves will keep is filled when it is used.
        return self.kept.get(name, f"<{name}>")

    def keep(self, name, body):
        self.kept |= {f"{name}.{member}": value for member, value in body.items()}
        if "access_token" in body:
            user = body["user"]
            self.kept |= {
                f"{name}.access": body["access_token"],
                f"{name}.refresh": body["refresh_token"],
                f"{name}.id": user["id"],
            }
            for identity in user["identities"][:1]:
                self.kept[f"{name}.identity"] = identity["identity_id"]

    # ---- requests

    def send(self, ask):
        ask = self.filled(ask)
        method = next(name for name in METHODS if name in ask)
        headers = {"X-Supabase-Api-Version": "2024-01-01", **self._credentials(ask.get("as", "anon"))}
        data = ask.get("text")
        if "json" in ask:
            headers["Content-Type"], data = "application/json", json.dumps(ask["json"])
        for name, value in ask.get("headers", {}).items():
            headers = {each: kept for each, kept in headers.items() if each.lower() != name.lower()}
            if value is not None:
                headers[name] = value
        path = ask[method]
        if path.startswith("http"):
            path = path.removeprefix(self.auth.spec.url).removeprefix("/auth/v1")
        return self.auth.client.open(
            f"/project/{self.auth.id}/auth/v1{path}", method=method.upper(), headers=headers, data=data
        )

    def _credentials(self, who):
        if who == "nobody":
            return {}
        if who == "key":
            return {"apikey": self.kept["anon"]}
        key = self.kept["service"] if who == "service" else self.kept["anon"]
        token = key if who in ("anon", "service") else self.kept.get(f"{who}.access", who)
        return {"apikey": key, "Authorization": f"Bearer {token}"}

    def needed(self, method, path, body=None, who="anon", expected=(200, 201, 204)):
        """The body of a request that has to succeed for the case to mean anything."""
        ask = {method: path, "as": who, **({} if body is None else {"json": body})}
        answer = self.send(ask)
        assert answer.status_code in expected, f"given {method} {path}: {answer.status_code} {answer.text[:200]}"
        return answer

    # ---- what is given

    def bring_about(self, step):
        kind = next(
            name for name in ("user", "sign_in", "anonymous", "token", "factor", "link", "request") if name in step
        )
        getattr(self, f"_{kind}")(step)

    def _user(self, step):
        name = step["user"]
        attributes = {
            "email": f"{name}-{self.kept['rand']}@example.com",
            "password": PASSWORD,
            "email_confirm": True,
            **step.get("attributes", {}),
        }
        attributes = {member: value for member, value in attributes.items() if value is not None}
        self.keep(name, self.needed("post", "/admin/users", attributes, "service").json)
        self.kept |= {f"{name}.{member}": attributes.get(member, "") for member in ("email", "password")}
        if step.get("signed_in", True):
            self._sign_in({"sign_in": name, "as": name})

    def _sign_in(self, step):
        name = step["sign_in"]
        body = {"email": self.kept[f"{name}.email"], "password": self.kept[f"{name}.password"]}
        body |= step.get("attributes", {})
        self.keep(step["as"], self.needed("post", "/token?grant_type=password", body).json)

    def _anonymous(self, step):
        self.keep(step["anonymous"], self.needed("post", "/signup", {"data": {}}).json)

    def _link(self, step):
        self.keep("link", self.needed("post", "/admin/generate_link", step["link"], "service").json)

    def _token(self, step):
        now = int(time.time())
        claims = {
            name: now + int(value) if name in ("exp", "iat") and isinstance(value, str) else value
            for name, value in step["claims"].items()
        }
        self.kept[f"{step['token']}.access"] = tokens.sign_token(claims, step.get("secret") or self.auth.secret)

    def _factor(self, step):
        """A TOTP factor of the user, verified unless it is said otherwise: their token is of level aal2 then."""
        name = step["factor"]
        body = {"factor_type": "totp", "friendly_name": step.get("friendly_name", "phone"), "issuer": "example.com"}
        factor = self.needed("post", "/factors", body, name).json
        self.keep("factor", factor)
        self.kept["factor.secret"] = factor["totp"]["secret"]
        if step.get("verify", True):
            path = f"/factors/{factor['id']}"
            challenge = self.needed("post", f"{path}/challenge", {}, name).json
            body = {"challenge_id": challenge["id"], "code": pyotp.TOTP(factor["totp"]["secret"]).now()}
            session = self.needed("post", f"{path}/verify", body, name).json
            self.kept[f"{name}.aal1"] = self.kept[f"{name}.access"]
            self.keep(name, session)

    def _request(self, step):
        ask = dict(step["request"])
        keep, expected = ask.pop("keep", {}), ask.pop("expected", (200, 201, 204))
        answer = self.send(ask)
        assert answer.status_code in ((expected,) if isinstance(expected, int) else expected), answer.text[:200]
        for name, where in keep.items():
            of_header = where.startswith("header:")
            self.kept[name] = answer.headers.get(where[7:]) if of_header else member(answer.json, where)

    # ---- judging

    def judge(self, answer, wanted):
        body = answer.json if answer.is_json else answer.text
        statuses = wanted["status"] if isinstance(wanted["status"], list) else [wanted["status"]]
        assert answer.status_code in statuses, answer.text[:300]
        if "code" in wanted:
            assert wanted["code"] in (body.get("code"), body.get("error_code")), body
        if "message" in wanted:
            assert differences(wanted["message"], body.get("message")) == []
        assert differences(wanted.get("body", {}), body if "body" in wanted else {}) == []
        headers = {name.lower(): value for name, value in answer.headers.items()}
        said = {name: headers.get(name.lower()) for name in wanted.get("headers", {})}
        assert differences(wanted.get("headers", {}), said) == []
        if "text" in wanted:
            assert answer.text == wanted["text"]
        if "claims" in wanted:
            assert differences(wanted["claims"], claims_of(body["access_token"])) == []
        if "location" in wanted:
            assert differences(wanted["location"], place_of(answer.headers.get("Location", ""))) == []


def member(body, path):
    """What is at a path such as `users.0.id`."""
    for part in path.split("."):
        body = body[int(part)] if isinstance(body, list) else body[part]
    return body


def place_of(location):
    """An address in its parts: where it starts, its query and its fragment."""
    place = urlsplit(location)
    return {
        "start": f"{place.scheme}://{place.netloc}{place.path}",
        "query": {name: values[0] for name, values in parse_qs(place.query, keep_blank_values=True).items()},
        "fragment": {name: values[0] for name, values in parse_qs(place.fragment, keep_blank_values=True).items()},
    }


def differences(want, got, where=""):
    """What is not as it was described: of objects only the named members count."""
    if isinstance(want, str) and want.startswith("~"):
        kind, _, said = want[1:].partition(" ")
        return [] if MATCHES[kind](got, said) else [f"{where}: wanted {want}, got {got!r}"]
    if isinstance(want, dict) and isinstance(got, dict):
        return [found for name, value in want.items() for found in differences(value, got.get(name), f"{where}.{name}")]
    if isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        pairs = enumerate(zip(want, got, strict=True))
        return [found for number, (one, other) in pairs for found in differences(one, other, f"{where}.{number}")]
    return [] if want == got else [f"{where}: wanted {want!r}, got {got!r}"]

"""Random sequences of acts on a project's files, some killed at a random point, end in what a model predicts.

Of every act the model knows what is there before it and after it. Whoever was killed has done it whole or not at all, so
one of the two is seen; rows, bytes and listing tell the same. A few sequences of each run; 200 with `--full`.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.app.storage.test_killed import check_swept, content_of, killing, tus, within  # noqa: F401 - a fixture

ACTS, SEQUENCES, OFTEN = 14, 3, 200
KEYS = ("a.txt", "b.txt", "folder/c.txt", "folder/deep/d.txt", "e.txt")
SEED = int(os.environ.get("LAUNCHDB_TEST_SEED", "1"))
TEXT = {"Content-Type": "text/plain"}


class Story:
    """What a bucket holds, by the model, and the acts that are drawn for it."""

    def __init__(self, storage, killing, seed) -> None:  # noqa: F811 - a fixture
        self.storage, self.killing, self.draw = storage, killing, random.Random(seed)
        self.bucket, self.model, self.said = storage.bucket(), {}, []

    def act(self) -> None:
        """Do one thing, or be killed in it, and look what is there."""
        name, steps, after = getattr(self, f"draw_{self.draw.choice(KINDS)}")()
        dies = self.draw.randrange(28) if self.draw.random() < 0.4 else None
        self.said.append((name, dies))
        steps = within(self.bucket, steps)
        if dies is None:
            self.done(steps)
            self.model = after
        elif self.killing(steps, dies) == "killed":
            self.model = self.which(self.model, after)
        else:
            self.model = after
        assert self.seen() == self.model, self.said

    def done(self, steps) -> None:
        place = None
        for method, path, body, headers in steps:
            content = body.encode() if isinstance(body, str) else body
            answer = self.storage.call(method, path.replace("LOCATION", place or ""), content, headers=headers)
            assert answer.status_code < 500, (self.said, answer.text)
            if "Location" in answer.headers:
                place = answer.headers["Location"].partition("/storage/v1")[2]

    def which(self, before, after):
        seen = self.seen()
        assert seen in (before, after), (self.said, seen, before, after)
        return seen

    def seen(self):
        """Return what is there: by the listing, whose names all have to be readable."""
        answer = self.storage.call("POST", f"/object/list-v2/{self.bucket}", {})
        listed = [entry["key"] for entry in answer.json["objects"]]
        assert listed == sorted(listed)
        found = {key: content_of(self.storage, self.bucket, key) for key in KEYS}
        assert set(listed) == {key for key, content in found.items() if content is not None}, self.said
        return {key: content for key, content in found.items() if content is not None}

    def content(self) -> bytes:
        return str(self.draw.randrange(10**9)).encode() * self.draw.choice((1, 50, 3000))

    def draw_upload(self):
        key, content = self.draw.choice(KEYS), self.content()
        after = self.model if key in self.model else {**self.model, key: content}
        return f"upload {key}", [["POST", f"/object/BUCKET/{key}", content.decode(), TEXT]], after

    def draw_upsert(self):
        key, content = self.draw.choice(KEYS), self.content()
        return f"upsert {key}", [["PUT", f"/object/BUCKET/{key}", content.decode(), TEXT]], {**self.model, key: content}

    def draw_move(self):
        source, target = self.draw.choice(KEYS), self.draw.choice(KEYS)
        body = {"bucketId": "BUCKET", "sourceKey": source, "destinationKey": target}
        after = dict(self.model)
        if source in after and target not in after:
            after[target] = after.pop(source)
        return f"move {source} {target}", [["POST", "/object/move", body, {}]], after

    def draw_copy(self):
        source, target, upsert = self.draw.choice(KEYS), self.draw.choice(KEYS), self.draw.random() < 0.5
        body = {"bucketId": "BUCKET", "sourceKey": source, "destinationKey": target}
        after = dict(self.model)
        if source in after and (upsert or target not in after):
            after[target] = after[source]
        headers = {"X-Upsert": "true"} if upsert else {}
        return f"copy {source} {target} {upsert}", [["POST", "/object/copy", body, headers]], after

    def draw_delete(self):
        key = self.draw.choice(KEYS)
        after = {name: content for name, content in self.model.items() if name != key}
        return f"delete {key}", [["DELETE", f"/object/BUCKET/{key}", None, {}]], after

    def draw_delete_many(self):
        keys = self.draw.sample(KEYS, 3)
        after = {name: content for name, content in self.model.items() if name not in keys}
        return f"delete {keys}", [["DELETE", "/object/BUCKET", {"prefixes": keys}, {}]], after

    def draw_resumable(self):
        key = self.draw.choice(KEYS)
        steps = tus(key, **{"X-Upsert": "true"})
        content = "".join(step[2] or "" for step in steps).encode()
        return f"resumable {key}", steps, {**self.model, key: content}


KINDS = ("upload", "upsert", "upsert", "move", "copy", "copy", "delete", "delete_many", "resumable")


def tell(storage, killing, number):  # noqa: F811 - a fixture
    story = Story(storage, killing, f"{SEED}-{number}")
    for _ in range(ACTS):
        story.act()
    storage.rows("UPDATE storage.launchdb_uploads SET expires_at = now() - interval '1 day' RETURNING id")
    check_swept(storage)
    assert story.seen() == story.model, story.said


@pytest.mark.parametrize("number", range(SEQUENCES))
def test_a_sequence_with_deaths_ends_as_the_model_says(storage, killing, number):  # noqa: F811
    tell(storage, killing, number)


@pytest.mark.full
def test_every_sequence_does(storage, killing):  # noqa: F811
    for number in range(SEQUENCES, OFTEN):
        tell(storage, killing, number)

"""launchdb storage: a project's files, seen to by whoever owns it."""

from __future__ import annotations

import pytest

from tests.cli.test_nouns import shop, worker  # noqa: F401 - fixtures


@pytest.fixture
def storage(launchdb, shop):  # noqa: F811 - a fixture
    """The command, for a project of this operator's that has a bucket."""

    def run(*words, code=0, stdin=""):
        done = launchdb.run("storage", *map(str, words), stdin=stdin, timeout=120)
        assert done.code == code, done.err
        return done

    launchdb.environment["LAUNCHDB_PROJECT"] = "shop"
    run("buckets", "--create", "web", "--json")
    return run


def test_files_go_to_a_bucket_come_back_move_and_go(storage, tmp_path):
    site = tmp_path / "site"
    (site / "a b").mkdir(parents=True)
    files = {"index.html": b"<html>", "a b/ü.bin".replace("ü", "u"): bytes(range(256)) * 20_000, "empty": b""}
    for name, content in files.items():
        (site / name).write_bytes(content)
    (site / "link").symlink_to("/etc/passwd")

    done = storage("cp", site, "ss:///web/site", "-r", "--json")
    assert done.json == {"copied": 3, "bytes": sum(map(len, files.values()))}
    assert f"{site}/index.html → ss:///web/site/index.html" in done.err

    assert storage("ls", "web").out.splitlines()[1].startswith("site/")
    listed = {entry["key"]: entry for entry in storage("ls", "ss:///web/site/", "-r", "--json").json["entries"]}
    assert set(listed) == {f"site/{name}" for name in files}
    assert listed["site/index.html"]["metadata"]["mimetype"] == "text/html"

    back = tmp_path / "back"
    storage("cp", "ss:///web/site", back, "-r")
    assert {path.relative_to(back).as_posix(): path.read_bytes() for path in back.rglob("*") if path.is_file()} == files
    # One file, by its own name in a folder, and under another.
    storage("cp", "shop", site / "index.html", "ss:///web/")
    storage("cp", "ss:///web/index.html", tmp_path)
    assert (tmp_path / "index.html").read_bytes() == b"<html>"
    storage("cp", "ss:///web/index.html", "ss:///web/copies/")
    storage("mv", "web/index.html", "web/moved.html")
    storage("mv", "web/site", "web/old", "-r")
    keys = [entry["key"] for entry in storage("ls", "web", "-r", "--json").json["entries"]]
    assert keys == sorted(["copies/index.html", "moved.html", *(f"old/{name}" for name in files)])

    usage = storage("usage", "--json").json
    assert (usage["objects"], usage["bytes"]) == (5, sum(map(len, files.values())) + 12)
    assert "nothing was changed" in storage("rm", "web/old", "-r", code=2, stdin="no\n").err
    assert storage("rm", "web/old", "-r", stdin="web\n").out == "3 removed\n"
    assert storage("rm", "ss:///web/moved.html", "--json").json == {"removed": 1}


def test_what_cannot_be_done_is_said_in_one_sentence_and_leaves_nothing(storage, tmp_path):
    storage("ls", "none", code=5)
    storage("buckets", "--create", "web", code=4)
    storage("rm", "web/none", code=5)
    storage("cp", "ss:///web/none", tmp_path / "x", code=5)
    storage("cp", tmp_path / "none", "ss:///web/x", code=5)
    storage("cp", tmp_path, "ss:///web", code=2)
    storage("cp", tmp_path, tmp_path, code=2)
    storage("mv", "web/none", "web/x", code=5)
    (tmp_path / "bad#name").write_bytes(b"x")
    assert "Invalid key" in storage("cp", tmp_path / "bad#name", "ss:///web/", code=2).err
    assert not [path.name for path in tmp_path.iterdir() if path.name == "x" or path.name.endswith(".part")]

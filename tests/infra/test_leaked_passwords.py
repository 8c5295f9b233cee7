"""Which passwords count as leaked: by a file of hashes that may be larger than memory, or by a list of common ones."""

from __future__ import annotations

from hashlib import sha1
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import owners
from infra.errors import Refused
from infra.secrets.leaked_passwords import HashedPasswords, opened


def hash_of(password):
    return sha1(password.encode(), usedforsecurity=False).hexdigest().upper()


def file_of(folder, passwords, line="{}:{}", digits=40, end="\r\n"):
    path = folder / "leaked"
    lines = sorted(line.format(hash_of(word)[:digits], number) for number, word in enumerate(passwords, 7))
    path.write_text(end.join([*lines, ""]))
    return path


@given(st.sets(st.text(min_size=1, max_size=5), min_size=1, max_size=60), st.sets(st.text(max_size=5), max_size=20))
@settings(max_examples=60, deadline=None)
def test_what_is_in_the_file_is_found_and_nothing_else(tmp_path_factory, leaked, others):
    folder = tmp_path_factory.mktemp("leaked")
    for how in ({}, {"digits": 12, "line": "{}", "end": "\n"}):
        known = HashedPasswords(file_of(folder, leaked, **how))
        assert all(known.holds(word) for word in leaked)
        assert not any(known.holds(word) for word in others - leaked)
        known.close()


def test_a_last_line_without_an_end_counts(tmp_path):
    (tmp_path / "one").write_text(hash_of("password1").lower())
    known = HashedPasswords(tmp_path / "one")
    assert known.holds("password1")
    assert not known.holds("password2")
    known.close()


@pytest.mark.parametrize("text", ["", "password\nletmein\n", "ABC\n", "\n"])
def test_a_file_that_is_no_such_list_is_refused(tmp_path, text):
    (tmp_path / "one").write_text(text)
    with pytest.raises(Refused):
        HashedPasswords(tmp_path / "one")
    with pytest.raises(Refused):
        HashedPasswords(Path("/nowhere/at/all"))


def test_without_a_file_common_passwords_are_known():
    known = opened(None, owners.common_passwords())
    assert known.holds("Password")
    assert not known.holds("# Passwords of eight and more characters")
    assert not known.holds("correct horse battery")

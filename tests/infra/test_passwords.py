"""Password hashes: ours, those that users bring along from elsewhere, and those that are too dear to check."""

from __future__ import annotations

import bcrypt
import pytest
from argon2 import PasswordHasher, Type

from infra.secrets.passwords import Passwords

PASSWORD = "user1password"
# The example of Firebase's own documentation.
FIREBASE = (
    "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,"
    "sk=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA=="
    "$42xEC+ixf3L2lw=="
    "$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ=="
)


def of_bcrypt(prefix):
    return bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", prefix)


BROUGHT = {
    "bcrypt-2a": of_bcrypt("$2a$"),
    "bcrypt-2b": of_bcrypt("$2b$"),
    "bcrypt-2y": of_bcrypt("$2y$"),
    "argon2i": PasswordHasher(1, 64, 1, type=Type.I).hash(PASSWORD),
    "argon2id": PasswordHasher(1, 64, 1, type=Type.ID).hash(PASSWORD),
    "firebase": FIREBASE,
}


@pytest.fixture(scope="module")
def passwords():
    made = Passwords(2)
    yield made
    made.close()


@pytest.mark.parametrize("stored", BROUGHT.values(), ids=BROUGHT)
def test_a_hash_from_elsewhere_lets_its_password_in_and_no_other(passwords, stored):
    assert passwords.takes(stored)
    assert passwords.matches(PASSWORD, stored)
    assert not passwords.matches(f"{PASSWORD}x", stored)
    assert not passwords.matches("", stored)
    assert passwords.needs_rehash(stored)


def test_a_hash_of_ours_needs_no_other(passwords):
    stored = passwords.hash(PASSWORD)
    assert passwords.takes(stored)
    assert passwords.matches(PASSWORD, stored)
    assert not passwords.needs_rehash(stored)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "x",
        "plain:user1password",
        "$2b$31$" + "a" * 53,
        "$2b$10$tooshort",
        "$argon2id$v=19$m=4194304,t=3,p=1$c29tZXNhbHRzb21l$Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm8",
        "$argon2id$v=19$m=65536,t=100000,p=1$c29tZXNhbHRzb21l$Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm8",
        "$argon2id$nothing",
        FIREBASE.replace("n=14", "n=30"),
        FIREBASE.replace("ss=Bw==", "ss=B"),
        FIREBASE.replace("r=8", "r=0"),
    ],
)
def test_what_is_no_hash_or_too_dear_to_check_is_not_taken_and_lets_nobody_in(passwords, stored):
    assert not passwords.takes(stored)
    assert not passwords.matches(PASSWORD, stored)


def test_a_password_that_bcrypt_would_cut_lets_nobody_in(passwords):
    long = "a" * 72
    stored = bcrypt.hashpw(long.encode(), bcrypt.gensalt(4)).decode()
    assert passwords.matches(long, stored)
    assert not passwords.matches(f"{long}b", stored)

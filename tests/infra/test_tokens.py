"""What is no token of the platform's is refused by the one place that reads them, whatever else would refuse it."""

from __future__ import annotations

import jwt
import pytest

from infra.secrets import tokens
from tests.app.test_tokens_of_others import claims, forged

KEY, OWNER = "a key of the tests, forty-three characters long", "own_" + "1" * 32
# Refused where people are looked up, not where tokens are read.
SIGNED_BY_US = {
    "nobody",
    "a sub with NUL",
    "a sub that is no id",
    "a sub with half a character",
    "a sign-in with NUL",
    "a sign-in that is none",
}


def test_a_good_token_is_read():
    good = jwt.encode(claims(sub=OWNER), KEY, algorithm="HS256")
    assert tokens.verify_access(good, ["another key of the tests, as long as the first", KEY])["sub"] == OWNER


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("name", sorted(set(forged(KEY, OWNER)) - SIGNED_BY_US))
def test_no_other_token_lets_anybody_in(name):
    with pytest.raises(tokens.TokenRefused):
        tokens.verify_access(forged(KEY, OWNER)[name], [KEY])
        pytest.fail(f"No such token lets anybody in: {name}")

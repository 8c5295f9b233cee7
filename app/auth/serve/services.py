"""What all projects share in one process of Auth."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.auth.oauth.documents import ProviderDocuments
from app.auth.serve.counts import AuthCounts
from infra.outbound.http import Outbound
from infra.secrets.leaked_passwords import CommonPasswords

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.auth.letters import Letters
    from infra.postgres.database import Database
    from infra.secrets.leaked_passwords import LeakedPasswords
    from infra.secrets.passwords import Passwords
    from infra.signals.limiter import RateLimiter


@dataclass(frozen=True)
class AuthServices:
    """What all projects share in one process.

    database   the platform's, as the login of Auth (or of the API, when embedded): jobs are enqueued there
    passwords  computes password hashes, a few at a time
    limiter    counts who asks how often
    letters    sends what is written to people
    oauth      what OAuth providers publish, and the way to ask them
    leaked     which passwords are known from leaks
    clock      the present in seconds of the epoch
    counts     what is counted for Prometheus
    """

    database: Database
    passwords: Passwords
    limiter: RateLimiter
    letters: Letters
    oauth: ProviderDocuments = field(default_factory=lambda: ProviderDocuments(Outbound()))
    leaked: LeakedPasswords = field(default_factory=lambda: CommonPasswords(()))
    clock: Callable[[], float] = field(default=time.time)
    counts: AuthCounts = field(default_factory=AuthCounts)

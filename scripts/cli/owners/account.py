"""Accounts that are made on the home itself: the operator's of the first start, and whom `owners create` names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog import audit, one_time, owners, sessions
from infra.composition import Infra
from infra.secrets.passwords import Passwords

if TYPE_CHECKING:
    from config.settings import Settings
    from infra.postgres.database import Transaction


def ensure_operator(settings: Settings, email: str, password: str) -> bool:
    """Ensure an owner with this e-mail address and password who is an operator, whoever else may register.

    Say whether it was made now; what another password of one that was there had opened has ended. Raises Unavailable.
    """
    return ensure_owner(settings, email, password, operator=True, anew=True)


def ensure_owner(settings: Settings, email: str, password: str, *, operator: bool, anew: bool = False) -> bool:
    """Ensure an owner with this e-mail address; return whether they were made now.

    anew  whether one that is there already gets this password, too; what another one had opened ends

    Raises Unavailable, WeakPassword, ValueError.
    """
    infra = Infra.open(settings, name="launchdb-up")
    try:
        with infra.database.transaction() as tx:
            # It is there when an earlier start was cut short; the password was written down before.
            owner = owners.by_email(tx, email)
            if owner is None:
                owners.check_password(password, email)
                name = "Operator" if operator else email.partition("@")[0]
                owners.register(tx, email=email, name=name, password_hash=Passwords(1).hash(password))
            elif anew:
                _set_password(tx, owner, password)
            if operator and (owner is None or not owner.is_operator):
                owners.promote(tx, email, by="operator")
    finally:
        infra.close()
    return owner is None


def _set_password(tx: Transaction, owner: owners.Owner, password: str) -> None:
    passwords = Passwords(1)
    stored = owners.password_hash(tx, owner.id, changing=True)
    if passwords.matches(password, stored):
        return
    owners.check_password(password, owner.email)
    owners.set_password(tx, owner.id, passwords.hash(password))
    sessions.end_all(tx, owner.id)
    one_time.end_resets(tx, owner.id)
    audit.record(tx, audit.AuditEntry("operator", "owner.set_password", owner_id=owner.id))

"""What comes in about owners: passwords, links that work once, invitations, quotas."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from app.http.models import Email, RequestBody

Password = Annotated[str, Field(max_length=4096)]
Link = Annotated[str, Field(min_length=1, max_length=200)]
Quota = Annotated[int, Field(ge=0, le=1_000_000)]


class PasswordChange(RequestBody):
    """Another password for the owner who asks."""

    current: Password
    new: Password


class PasswordReset(RequestBody):
    """Either `email`: a link is wanted; or the `token` of one with the `new` password."""

    email: Email | None = None
    token: Link | None = None
    new: Password | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> PasswordReset:
        if (self.email is None) == (self.token is None) or (self.token is None) != (self.new is None):
            raise ValueError("must hold either email, or token and new")
        return self


class NewInvitation(RequestBody):
    """Who is invited."""

    email: Email


class OwnerChanges(RequestBody):
    """What is to change of an owner; what is left out stays. maxProjects null: the installation's own quota."""

    max_projects: Quota | None = None
    is_operator: bool | None = None

    @model_validator(mode="after")
    def _a_flag_is_no_null(self) -> OwnerChanges:
        if "is_operator" in self.model_fields_set and self.is_operator is None:
            raise ValueError("isOperator must be true or false")
        return self


class TrialMail(RequestBody):
    """Where a trial mail goes."""

    to: Email

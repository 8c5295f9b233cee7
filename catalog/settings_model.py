"""What can be set of a project: one typed model, with every default and bound.

docs/project-settings.md says it in words. Nothing is converted and an unknown member is refused. A change names any of
the members; null puts one back.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, create_model
from pydantic.alias_generators import to_camel

from catalog import settings_text as text
from catalog.auth_settings.members import Function, OAuthProvider, ProviderName

MIB = 1024 * 1024
DAY, YEAR = 86_400, 31_536_000

Origin = Annotated[str, AfterValidator(text.origin), Field(max_length=300)]
Redirect = Annotated[str, AfterValidator(text.redirect), Field(max_length=2048)]
Schema = Annotated[str, AfterValidator(text.schema), Field(max_length=63)]
Subject = Annotated[str, AfterValidator(text.subject), Field(min_length=1, max_length=200)]
Html = Annotated[str, AfterValidator(text.template), Field(min_length=1, max_length=20_000)]
PlainText = Annotated[str, AfterValidator(text.text_template), Field(min_length=1, max_length=20_000)]
CodeHtml = Annotated[str, AfterValidator(text.code_template), Field(min_length=1, max_length=20_000)]
CodeText = Annotated[str, AfterValidator(text.code_text_template), Field(min_length=1, max_length=20_000)]
TransactionEnd = Literal["commit", "commit-allow-override", "rollback", "rollback-allow-override"]
Characters = Literal["lower", "upper", "digit", "symbol"]


class _Members(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True
    )


class MailTemplate(_Members):
    """One mail: its subject, and its body in HTML, with placeholders such as `{{ .ConfirmationURL }}`.

    text: what readers without HTML see; None: it is made of the body
    """

    subject: Subject
    body: Html
    text: PlainText | None = None


class CodeTemplate(_Members):
    """A mail that brings nothing but a code to type."""

    subject: Subject
    body: CodeHtml
    text: CodeText | None = None


class MailTemplates(_Members):
    """The mails that Auth sends; null: the built-in one."""

    confirmation: MailTemplate | None = None
    recovery: MailTemplate | None = None
    magic_link: MailTemplate | None = None
    invite: MailTemplate | None = None
    email_change: MailTemplate | None = None
    reauthentication: CodeTemplate | None = None


class ProjectSettings(_Members):
    """Everything that is set of one project, defaults included."""

    # Auth
    access_token_seconds: Annotated[int, Field(ge=60, le=DAY)] = 900
    refresh_token_seconds: Annotated[int, Field(ge=3600, le=YEAR)] = 604_800
    one_time_seconds: Annotated[int, Field(ge=60, le=DAY)] = 3600
    otp_length: Annotated[int, Field(ge=6, le=10)] = 6
    sign_up: bool = True
    anonymous_sign_in: bool = False
    email_sign_in: bool = True
    autoconfirm: bool | None = None
    password_min_length: Annotated[int, Field(ge=6, le=72)] = 6
    password_characters: Annotated[list[Characters], AfterValidator(text.distinct), Field(max_length=4)] = []
    password_current_required: bool = False
    refresh_reuse_seconds: Annotated[int, Field(ge=0, le=60)] = 10
    password_reauthentication: bool = False
    secure_email_change: bool = True
    sign_in_rate_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 300
    sign_up_rate_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 300
    anonymous_rate_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 300
    refresh_rate_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 1800
    mfa_totp_enroll: bool = True
    mfa_totp_verify: bool = True
    mfa_webauthn_enroll: bool = False
    mfa_webauthn_verify: bool = False
    mfa_factors_max: Annotated[int, Field(ge=1, le=30)] = 10
    mfa_rate_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 60
    mfa_attempts_per_minute: Annotated[int, Field(ge=1, le=1000)] = 10
    passkeys: bool = False
    webauthn_domain: Annotated[str, AfterValidator(text.domain), Field(max_length=253)] = ""
    webauthn_origins: Annotated[list[Origin], AfterValidator(text.distinct), Field(max_length=20)] = []
    webauthn_name: Annotated[str, AfterValidator(text.line), Field(max_length=100)] = ""
    otp_rate_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 60
    verify_rate_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 60
    site_url: Annotated[str, AfterValidator(text.site), Field(max_length=2048)] = ""
    redirect_urls: Annotated[list[Redirect], AfterValidator(text.distinct), Field(max_length=100)] = []
    oauth_providers: dict[ProviderName, OAuthProvider] = {}
    manual_linking: bool = False
    session_seconds: Annotated[int, Field(ge=0, le=10 * YEAR)] = 0
    session_idle_seconds: Annotated[int, Field(ge=0, le=10 * YEAR)] = 0
    single_session: bool = False
    audit_days: Annotated[int, Field(ge=1, le=3650)] = 90
    captcha_provider: Literal["", "hcaptcha", "turnstile"] = ""
    refuse_leaked_passwords: bool = False
    hook_custom_access_token: Function = ""
    hook_before_user_created: Function = ""
    hook_password_verification: Function = ""
    hook_mfa_verification: Function = ""
    hook_send_email: Function = ""

    # Mail
    smtp_host: Annotated[str, AfterValidator(text.host), Field(max_length=253)] = ""
    smtp_port: Literal[25, 465, 587, 2525] = 587
    smtp_security: Literal["starttls", "tls"] = "starttls"
    smtp_user: Annotated[str, AfterValidator(text.line), Field(max_length=320)] = ""
    mail_from: Annotated[str, AfterValidator(text.address), Field(max_length=254)] = ""
    mail_from_name: Annotated[str, AfterValidator(text.line), Field(max_length=100)] = ""
    mails_per_hour: Annotated[int, Field(ge=1, le=100_000)] = 100
    mail_interval_seconds: Annotated[int, Field(ge=0, le=3600)] = 60
    mail_templates: MailTemplates = MailTemplates()

    # Data API
    schemas: Annotated[list[Schema], AfterValidator(text.distinct), Field(min_length=1, max_length=20)] = [
        "public", "storage",
    ]  # fmt: skip
    cors_origins: Annotated[list[Origin], AfterValidator(text.distinct), Field(max_length=50)] = []
    max_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    rate_per_minute: Annotated[int, Field(ge=1, le=10_000_000)] = 30_000
    body_bytes: Annotated[int, Field(ge=1024, le=20 * MIB)] = 10 * MIB
    extra_search_path: Annotated[list[Schema], AfterValidator(text.distinct), Field(max_length=20)] = [
        "public", "extensions",
    ]  # fmt: skip
    aggregates: bool = False
    query_plans: bool = False
    transaction_end: TransactionEnd = "commit"

    # Database
    connections: Annotated[int, Field(ge=8, le=1000)] = 30
    statement_seconds: Annotated[int, Field(ge=1, le=DAY)] = 120
    idle_transaction_seconds: Annotated[int, Field(ge=1, le=DAY)] = 60
    temp_mb: Annotated[int, Field(ge=16, le=1_048_576)] = 1024

    # Storage
    file_bytes: Annotated[int, Field(ge=1024, le=5120 * MIB)] = 50 * MIB
    signed_url_seconds: Annotated[int, Field(ge=1, le=604_800)] = 7200
    address_rate_per_minute: Annotated[int, Field(ge=0, le=10_000_000)] = 0

    # Quotas and sleep; 0: none
    database_quota_mb: Annotated[int, Field(ge=0, le=10_485_760)] = 0
    storage_quota_mb: Annotated[int, Field(ge=0, le=10_485_760)] = 0
    storage_quota_objects: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    users_quota: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    idle_minutes: Annotated[int, Field(ge=0, le=43_200)] = 0


# What the installation sets for all projects, by the name of its own setting: default, and the most an owner may take.
INSTALLATION = {
    "sign_in_rate_per_minute": "sign_in_rate_per_minute",
    "max_rows": "data_max_rows",
    "rate_per_minute": "data_rate_per_minute",
    "connections": "project_connections",
    "statement_seconds": "project_statement_seconds",
    "idle_transaction_seconds": "project_idle_transaction_seconds",
    "temp_mb": "project_temp_mb",
}
# What a job has to bring to the database or to the data API.
OUTSIDE = frozenset(
    {"schemas", "cors_origins", "max_rows", "rate_per_minute", "body_bytes", "connections", "statement_seconds",
     "idle_transaction_seconds", "temp_mb", "extra_search_path", "aggregates", "query_plans", "transaction_end"}
)  # fmt: skip
# What is counted by a loop.
ELSEWHERE = frozenset({"database_quota_mb", "idle_minutes"})
# What a job has to bring to Storage.
STORAGE = frozenset(
    {"file_bytes", "signed_url_seconds", "address_rate_per_minute", "storage_quota_mb", "storage_quota_objects"}
)
# What a job has to bring to Auth: everything else.
AUTH = frozenset(ProjectSettings.model_fields) - OUTSIDE - ELSEWHERE - STORAGE
# Kept in the vault, never shown, by the name of the secret.
SECRETS = {"smtp_password": "smtp_password", "captcha_secret": "captcha_secret"}
# The same for members that hold a secret for each of several names: what the names of the secrets begin with.
SECRET_MAPS = {"oauth_secrets": "oauth_secret_"}
SETTINGS_SECRETS = (
    *SECRETS.values(),
    *(f"{prefix}{name}" for prefix in SECRET_MAPS.values() for name in get_args(ProviderName)),
)
# What is changed name by name, as it is kept.
NAME_BY_NAME = ("mailTemplates", "oauthProviders")


def digest_of(password: str | None) -> str | None:
    """Return what stands for a password in the digest of a request.

    That is kept for a day, and a password must not be guessed from it: each guess costs this much.
    """
    if password is None:
        return None
    return hashlib.scrypt(password.encode(), salt=b"launchdb request digest", n=2**14, r=8, p=1).hex()


Password = Annotated[
    str,
    AfterValidator(text.line),
    Field(min_length=1, max_length=1024),
    PlainSerializer(digest_of, when_used="json"),
]
# A key in PEM has several lines.
ProviderSecret = Annotated[str, Field(min_length=1, max_length=10_000), PlainSerializer(digest_of, when_used="json")]
_CHANGES: dict[str, Any] = {
    name: (Annotated[(field.annotation, Field(), *field.metadata)] | None, None)
    for name, field in ProjectSettings.model_fields.items()
}
_CHANGES["oauth_providers"] = (dict[ProviderName, OAuthProvider | None] | None, None)
SettingsChanges = cast(
    "type[BaseModel]",
    create_model(
        "SettingsChanges",
        __base__=_Members,
        __doc__="What is to change of a project's settings: what is left out stays, null puts back the default.",
        smtp_password=(Password | None, None),
        captcha_secret=(Password | None, None),
        oauth_secrets=(dict[ProviderName, ProviderSecret | None] | None, None),
        **_CHANGES,
    ),
)

"""WebAuthn: what an authenticator is asked, and whether what it answers proves that it was the one that is known."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import webauthn
from webauthn.helpers import structs
from webauthn.helpers.exceptions import WebAuthnException

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOBODY = UUID(int=0)
CHALLENGE_SECONDS = 300


class CeremonyFailed(Exception):
    """What came is no answer of that authenticator to that challenge."""


@dataclass(frozen=True)
class RelyingParty:
    """For whom an authenticator signs. id: a domain; origins: of the pages that may ask it."""

    id: str
    origins: tuple[str, ...]
    name: str = ""


@dataclass(frozen=True)
class Credential:
    """A key pair of an authenticator, of which the private part never leaves it.

    public_key  in COSE; sign_count: how often it has signed, where it counts; aaguid: which model it is
    """

    id: bytes
    public_key: bytes = field(repr=False)
    sign_count: int
    aaguid: str
    transports: tuple[str, ...] = ()
    attestation: str = "none"
    backup_eligible: bool = False
    backed_up: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as a factor keeps it: in GoTrue's members, so that its rows can be loaded."""
        return {
            "id": base64.b64encode(self.id).decode(),
            "publicKey": base64.b64encode(self.public_key).decode(),
            "attestationType": self.attestation,
            "transport": list(self.transports),
            "flags": {
                "userPresent": True,
                "userVerified": True,
                "backupEligible": self.backup_eligible,
                "backupState": self.backed_up,
            },
            "authenticator": {
                "AAGUID": base64.b64encode(UUID(self.aaguid).bytes).decode(),
                "signCount": self.sign_count,
                "cloneWarning": False,
                "attachment": "",
            },
        }

    def used(self, sign_count: int, *, backed_up: bool) -> Credential:
        """Return it as it is after it has signed."""
        return replace(self, sign_count=sign_count, backed_up=backed_up)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Credential:
        """Read what a factor keeps. Raises CeremonyFailed."""
        try:
            authenticator = kept.get("authenticator") or {}
            flags = kept.get("flags") or {}
            aaguid = base64.b64decode(authenticator.get("AAGUID") or "") or NOBODY.bytes
            return cls(
                id=base64.b64decode(kept["id"]),
                public_key=base64.b64decode(kept["publicKey"]),
                sign_count=int(authenticator.get("signCount", 0)),
                aaguid=str(UUID(bytes=aaguid)),
                transports=tuple(kept.get("transport") or ()),
                attestation=str(kept.get("attestationType", "")),
                backup_eligible=bool(flags.get("backupEligible")),
                backed_up=bool(flags.get("backupState")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CeremonyFailed("the credential that is kept is not whole") from error


def registration_options(
    party: RelyingParty, user_id: UUID, name: str, known: Sequence[bytes], *, discoverable: bool
) -> tuple[dict[str, Any], str]:
    """Return what an authenticator is asked for a new credential, as browsers take it, and the challenge in it.

    name          of the user, as the authenticator shows it
    known         ids of credentials that the user has: an authenticator that holds one makes no other
    discoverable  it finds the credential by itself, without being told its id. One that is a second factor alone had
                  better not be found: browsers would offer it to whoever signs in by a passkey, and it would be refused
    """
    kind = structs.ResidentKeyRequirement.REQUIRED if discoverable else structs.ResidentKeyRequirement.DISCOURAGED
    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name=party.name or party.id,
        user_name=name,
        user_id=user_id.bytes,
        user_display_name=name,
        timeout=CHALLENGE_SECONDS * 1000,
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=kind,
            require_resident_key=discoverable,
            user_verification=_verification(required=discoverable),
        ),
        exclude_credentials=[structs.PublicKeyCredentialDescriptor(id=each) for each in known],
    )
    return _shown(options), _text(options.challenge)


def request_options(party: RelyingParty, known: Sequence[bytes], *, verified: bool) -> tuple[dict[str, Any], str]:
    """Return what an authenticator is asked to sign, as browsers take it, and the challenge in it.

    known     ids of credentials of which one has to sign; none: whichever the authenticator finds
    verified  it has to know its user, by a finger or a PIN
    """
    options = webauthn.generate_authentication_options(
        rp_id=party.id,
        timeout=CHALLENGE_SECONDS * 1000,
        allow_credentials=[structs.PublicKeyCredentialDescriptor(id=each) for each in known],
        user_verification=_verification(required=verified),
    )
    return _shown(options), _text(options.challenge)


def registered(party: RelyingParty, challenge: str, answer: Mapping[str, Any], *, verified: bool) -> Credential:
    """Return the credential that an authenticator has made. Raises CeremonyFailed."""
    try:
        found = webauthn.verify_registration_response(
            credential=dict(answer),
            expected_challenge=webauthn.base64url_to_bytes(challenge),
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            require_user_verification=verified,
        )
    except (WebAuthnException, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CeremonyFailed(str(error)) from error
    said = answer.get("response")
    transports = said.get("transports") if isinstance(said, dict) else None
    return Credential(
        id=found.credential_id,
        public_key=found.credential_public_key,
        sign_count=found.sign_count,
        aaguid=found.aaguid,
        transports=tuple(each[:32] for each in transports or () if isinstance(each, str))[:10],
        attestation=structs.AttestationFormat(found.fmt).value,
        backup_eligible=found.credential_device_type == structs.CredentialDeviceType.MULTI_DEVICE,
        backed_up=found.credential_backed_up,
    )


def authenticated(
    party: RelyingParty, challenge: str, answer: Mapping[str, Any], known: Credential, *, verified: bool
) -> tuple[int, bool]:
    """Return how often the authenticator has signed by now, and whether its key is kept elsewhere too.

    Raises CeremonyFailed, also when it has signed less often than before: then there are two of it.
    """
    try:
        found = webauthn.verify_authentication_response(
            credential=dict(answer),
            expected_challenge=webauthn.base64url_to_bytes(challenge),
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            credential_public_key=known.public_key,
            credential_current_sign_count=known.sign_count,
            require_user_verification=verified,
        )
    except (WebAuthnException, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CeremonyFailed(str(error)) from error
    if found.credential_id != known.id:
        raise CeremonyFailed("another credential has signed")
    return found.new_sign_count, found.credential_backed_up


def credential_id(answer: Mapping[str, Any]) -> bytes:
    """Return the id of the credential that an answer names. Raises CeremonyFailed."""
    try:
        return webauthn.base64url_to_bytes(answer["rawId"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CeremonyFailed("the answer names no credential") from error


def user_handle(answer: Mapping[str, Any]) -> UUID | None:
    """Return whose credential an answer says it is, or None where it does not say. Raises CeremonyFailed."""
    said = answer.get("response")
    handle = said.get("userHandle") if isinstance(said, dict) else None
    if not handle:
        return None
    try:
        return UUID(bytes=webauthn.base64url_to_bytes(handle))
    except (TypeError, ValueError, AttributeError) as error:
        raise CeremonyFailed("the answer names nobody that there can be") from error


def _verification(*, required: bool) -> structs.UserVerificationRequirement:
    return structs.UserVerificationRequirement.REQUIRED if required else structs.UserVerificationRequirement.PREFERRED


def _shown(options: Any) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(webauthn.options_to_json(options))
    return shown


def _text(challenge: bytes) -> str:
    return base64.urlsafe_b64encode(challenge).decode().rstrip("=")

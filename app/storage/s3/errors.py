"""What is refused, in the words of S3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.storage.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping

# What our own words for a refusal are in S3: its code, and the status that clients know it by.
_CODES: Mapping[str, tuple[str, int]] = {
    "ResourceNotEmpty": ("BucketNotEmpty", 409),
    "KeyAlreadyExists": ("PreconditionFailed", 412),
    "EntityTooLarge": ("EntityTooLarge", 400),
    "InvalidMimeType": ("InvalidRequest", 415),
    "InvalidKey": ("InvalidArgument", 400),
    "SlowDown": ("SlowDown", 503),
    "ResourceLocked": ("OperationAborted", 409),
    "DatabaseTimeout": ("ServiceUnavailable", 503),
    "Unavailable": ("ServiceUnavailable", 503),
    "DatabaseError": ("InvalidRequest", 400),
    "RequestTimeout": ("RequestTimeout", 400),
}


def refusal(code: str, message: str, status: int = 400) -> StorageError:
    """Return a refusal by the code that S3 has for it. status: of HTTP."""
    return StorageError(status, code, code, message, http=status)


# Clients read what they know by heart, where we have no more to say than that.
_MESSAGES: Mapping[str, str] = {
    "NoSuchKey": "The specified key does not exist.",
    "NoSuchBucket": "The specified bucket does not exist",
    "BucketNotEmpty": "The bucket you tried to delete is not empty",
    "EntityTooLarge": "Your proposed upload exceeds the maximum allowed size",
    "PreconditionFailed": "At least one of the pre-conditions you specified did not hold",
    "InternalError": "We encountered an internal error. Please try again.",
    "InvalidBucketName": "The specified bucket is not valid.",
    "OperationAborted": "A conflicting operation is currently in progress against this resource. Try again.",
}


def words(error: StorageError) -> tuple[str, int, str]:
    """Return the code of S3 for a refusal, the status of HTTP, and the message."""
    code, status = _CODES.get(error.code, (error.code, error.status))
    return code, status, _MESSAGES.get(code, error.message)


def no_such_key() -> StorageError:
    """Return the refusal of an object that is not there, or not for the caller's eyes."""
    return refusal("NoSuchKey", _MESSAGES["NoSuchKey"], 404)


def access_denied(message: str = "Access Denied") -> StorageError:
    """Return the refusal of what the caller may not do."""
    return refusal("AccessDenied", message, 403)


def invalid_argument(message: str) -> StorageError:
    """Return the refusal of a header or parameter that makes no sense."""
    return refusal("InvalidArgument", message)


def not_implemented(what: str) -> StorageError:
    """Return the refusal of a part of S3 that is not here. what: the part, in words."""
    return refusal("NotImplemented", f"{what} is not implemented", 501)


def malformed_xml() -> StorageError:
    """Return the refusal of a body that is not the XML that was expected."""
    return refusal("MalformedXML", "The XML you provided was not well-formed or did not validate against our schema")


def no_such_upload() -> StorageError:
    """Return the refusal of a multipart upload that is not there, or somebody else's."""
    return refusal(
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
        "completed",
        404,
    )


def precondition_failed() -> StorageError:
    """Return the refusal of what was to be done on a condition that does not hold."""
    return refusal("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)


def signature_mismatch() -> StorageError:
    """Return the refusal of a signature that is not what it has to be."""
    return refusal(
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your key and signing "
        "method.",
        403,
    )

"""Makes the errors of the mapping API: AWS's code, AWS's sentence.

Rules: the code alone decides status and body, which are the HTTP layer's; a sentence that AWS is
known to say is said in AWS's words.
"""

from __future__ import annotations

from typing import Final

from penstock.errors import Refusal

SERIALIZATION: Final = "SerializationException"
VALIDATION: Final = "ValidationException"
INVALID: Final = "InvalidParameterValueException"
NOT_JSON: Final = "InvalidRequestContentException"
TOO_LARGE: Final = "RequestTooLargeException"
EVENT_TOO_LARGE: Final = "RequestEntityTooLargeException"
CONFLICT: Final = "ResourceConflictException"
IN_USE: Final = "ResourceInUseException"
NOT_FOUND: Final = "ResourceNotFoundException"
THROTTLED: Final = "TooManyRequestsException"
FAILED: Final = "ServiceException"
# Of callers: who is not known, whose signature is wrong, and who may not.
NO_CREDENTIALS: Final = "MissingAuthenticationTokenException"
UNKNOWN_CALLER: Final = "UnrecognizedClientException"
EXPIRED: Final = "ExpiredTokenException"
INCOMPLETE: Final = "IncompleteSignatureException"
WRONG_SIGNATURE: Final = "InvalidSignatureException"
DENIED: Final = "AccessDeniedException"


def invalid(message: str, *, hint: str | None = None) -> Refusal:
    """Refuse a value or a combination of values."""
    return Refusal(message, type=INVALID, hint=hint)


def no_such_mapping() -> Refusal:
    """Refuse a UUID that no mapping has."""
    return Refusal("The resource you requested does not exist.", type=NOT_FOUND)


def in_use(message: str) -> Refusal:
    """Refuse a change of what is being changed."""
    return Refusal(message, type=IN_USE)


def violations(found: list[str]) -> Refusal:
    """Refuse what breaks the constraints of the model, all of it in one sentence."""
    count = f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected: "
    return Refusal(count + "; ".join(found), type=VALIDATION)

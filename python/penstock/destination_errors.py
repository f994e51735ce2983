"""Tells the engine how a delivery failed: the kind of fault, and a sentence.

Rules: decide by botocore's classes and AWS's codes, never by text; a denied call is named with its
action and what it was for; no secrets, no payloads.
"""

from __future__ import annotations

from typing import Any, Final

from penstock.access_errors import role_refused

Fault = tuple[str, str]

_NOT_FOUND: Final = frozenset({
    "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NonExistentQueue",
    "NotFound", "NotFoundException", "ResourceNotFoundException", "NoSuchBucket", "404",
})  # fmt: skip
_DENIED: Final = frozenset({
    "AccessDenied", "AccessDeniedException", "AuthorizationError", "AllAccessDisabled",
    "KMS.AccessDeniedException", "KMSAccessDenied", "KMSAccessDeniedException", "403",
})  # fmt: skip
_BAD_KEYS: Final = frozenset({
    "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch",
    "InvalidSignatureException", "InvalidAccessKeyId", "IncompleteSignature",
    "MissingAuthenticationToken", "InvalidSecurity", "AuthFailure",
})  # fmt: skip
_EXPIRED: Final = frozenset({
    "ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired",
})  # fmt: skip
_THROTTLED: Final = frozenset({
    "Throttling", "ThrottlingException", "Throttled", "ThrottledException", "RequestThrottled",
    "RequestLimitExceeded", "SlowDown", "OverLimit", "KMS.ThrottlingException", "429",
})  # fmt: skip
_TOO_LARGE: Final = frozenset({
    "EntityTooLarge", "MaxMessageLengthExceeded", "MessageTooLong", "RequestEntityTooLarge", "413",
})  # fmt: skip
_ACTIONS: Final = {"sqs": "sqs:SendMessage", "sns": "sns:Publish", "s3": "s3:PutObject"}
_KINDS: Final = {"sqs": "queue", "sns": "topic", "s3": "bucket"}


def is_expired(error: Exception) -> bool:
    """Whether AWS refused credentials that have been good and are not any more."""
    return _code(error) in _EXPIRED


def is_denied(error: Exception) -> bool:
    """Whether AWS knew the caller and did not allow the call."""
    return _code(error) in _DENIED and role_refused(error) is None


def explain(error: Exception, service: str, destination: str, role_arn: str | None) -> Fault:
    """Give the kind of fault and a sentence for what botocore raised."""
    from botocore import exceptions as boto

    role = role_refused(error)
    if role is not None:
        return "denied", f"the role {role_arn} of {destination} cannot be assumed ({role})"
    if isinstance(error, boto.ClientError):
        return _explain_answer(error, service, destination)
    if isinstance(error, boto.NoRegionError):
        return "invalid", f"no region is configured for {destination}"
    if isinstance(error, boto.ProfileNotFound):
        return "denied", f"the profile {error.kwargs.get('profile')} of {destination} is missing"
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return "denied", f"no credentials are configured for {destination}"
    if isinstance(error, boto.SSLError):
        return "transient", f"the certificate of the endpoint of {destination} cannot be verified"
    if isinstance(error, boto.ConnectionError | boto.HTTPClientError):
        endpoint = error.kwargs.get("endpoint_url") or "its endpoint"
        return "transient", f"{destination} cannot be reached at {endpoint}"
    return "transient", f"{destination} took no document ({type(error).__name__})"


def _explain_answer(error: Any, service: str, destination: str) -> Fault:
    code = _code(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _NOT_FOUND:
        return "not_found", f"the {_KINDS[service]} {destination} does not exist ({code})"
    if code in _DENIED:
        action = _action(error, service)
        return "denied", f"{action} on {destination} is denied ({code}); allow it"
    if code in _BAD_KEYS or code in _EXPIRED:
        return "denied", f"the credentials for {destination} are refused ({code})"
    if code in _THROTTLED or status == 429:
        return "throttled", f"{destination} asks to slow down ({code})"
    if code in _TOO_LARGE or status == 413:
        return "too_large", f"the document is too large for {destination} ({code})"
    kind = "invalid" if 400 <= status < 500 else "transient"
    return kind, f"{destination} took no document ({code})"


def _action(error: Any, service: str) -> str:
    """Name the action that was denied: another service's key may be what lacks."""
    if "KMS" in _code(error):
        return "kms:GenerateDataKey for what is sent"
    operation = getattr(error, "operation_name", None)
    own = {"GetQueueUrl": "sqs:GetQueueUrl", "GetCallerIdentity": "sts:GetCallerIdentity"}
    return own.get(str(operation), _ACTIONS[service])


def _code(error: Exception) -> str:
    # botocore's errors of connections have a response too, which is None.
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))

"""Tells what went wrong when AWS was asked, in sentences: what happened, to what, what to do.

Rules: decide by botocore's classes and AWS's codes, never by text; the cause is kept; no secrets.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from penstock.errors import PenstockError, SourceError

_NOT_FOUND: Final = {"ResourceNotFoundException"}
_NO_QUEUE: Final = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
_DENIED: Final = {"AccessDeniedException", "AccessDenied", "NotAuthorized", "OptInRequired"}
_BAD_KEYS: Final = {
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignatureException",
    "MissingAuthenticationTokenException",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "AuthFailure",
}
# AWS's sentence, and which queue it was.
_QUEUE_MISSING: Final = (
    "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
    "SQS Error Message: The specified queue does not exist. ({source} in {region})"
)

_PERMISSIONS: Final = {
    "Kinesis": "allow kinesis:DescribeStreamSummary, ListShards, GetShardIterator and GetRecords",
    "DynamoDB": "allow dynamodb:DescribeStream, GetShardIterator and GetRecords on the stream, "
    "and DescribeTable on the table",
    "SQS": "allow sqs:GetQueueAttributes, ReceiveMessage, DeleteMessage and "
    "ChangeMessageVisibility, and GetQueueUrl for a queue that is named without its ARN or URL",
}
_SERVICES: Final = {"dynamodb": "DynamoDB", "dynamodbstreams": "DynamoDB", "sqs": "SQS"}


def _service(source: str) -> str:
    return _SERVICES.get(source.partition(":")[0].partition("/")[0], "Kinesis")


@contextmanager
def explained(
    source: str, where: str | None, region: str, role_arn: str | None = None
) -> Iterator[None]:
    """Turn what botocore raises into a SourceError."""
    try:
        yield
    except PenstockError:
        raise
    except Exception as error:
        found = _explain_role(error, source, role_arn) or _explain(error, source, region)
        if found is None:
            raise
        code, message, hint = found
        raise SourceError(
            message,
            code=code,
            hint=hint,
            source=source,
            where=where,
            retryable=code in {"PS200", "PS205"},
        ) from error


def role_refused(error: Exception) -> str | None:
    """Give AWS's code when it was a role that could not be assumed."""
    if getattr(error, "operation_name", None) != "AssumeRole":
        return None
    answer = (getattr(error, "response", None) or {}).get("Error", {})
    return str(answer.get("Code", type(error).__name__))


def _explain_role(
    error: Exception, source: str, role_arn: str | None
) -> tuple[str, str, str] | None:
    code = role_refused(error)
    if code is None:
        return None
    return (
        "PS202",
        f"the role {role_arn} of {source} cannot be assumed ({code})",
        "let the role's trust policy name the caller, and allow the caller sts:AssumeRole",
    )


def _explain(error: Exception, source: str, region: str) -> tuple[str, str, str] | None:
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    if isinstance(error, boto.ClientError):
        return _explain_answer(error.response.get("Error", {}), source, region)
    if isinstance(error, boto.NoRegionError):
        return "PS201", f"no region is configured for {source}", "set AWS_REGION"
    if isinstance(error, boto.SSLError):
        return (
            "PS205",
            f"the certificate of the endpoint of {source} cannot be verified",
            "set AWS_CA_BUNDLE to the bundle that your network uses",
        )
    if isinstance(error, boto.ProxyConnectionError):
        return (
            "PS205",
            f"the proxy on the way to {source} cannot be reached",
            "check HTTPS_PROXY and NO_PROXY",
        )
    if isinstance(error, boto.ConnectionError | boto.HTTPClientError):
        endpoint = error.kwargs.get("endpoint_url") or "its endpoint"
        return (
            "PS205",
            f"{source} cannot be reached at {endpoint}",
            "check the network, the region and AWS_ENDPOINT_URL",
        )
    if isinstance(error, ResponseParserError | KeyError):
        return (
            "PS206",
            f"the endpoint of {source} did not answer as {_service(source)} does",
            "check AWS_ENDPOINT_URL",
        )
    if isinstance(error, ValueError | boto.BotoCoreError):
        return _explain_setup(error, source)
    return None


def _explain_answer(answer: dict[str, Any], source: str, region: str) -> tuple[str, str, str]:
    code = str(answer.get("Code", ""))
    if code in _NOT_FOUND:
        return (
            "PS203",
            f"{source} does not exist in {region}",
            "check its name, the region and the account of your credentials",
        )
    if code in _NO_QUEUE:
        return (
            "PS203",
            _QUEUE_MISSING.format(source=source, region=region),
            "check its name, the region and the account of your credentials",
        )
    if code in _DENIED:
        return (
            "PS204",
            f"access to {source} is denied",
            _PERMISSIONS[_service(source)],
        )
    if code in _BAD_KEYS:
        return (
            "PS202",
            f"the credentials for {source} are refused ({code})",
            "refresh them, for example with aws sso login, and check AWS_PROFILE",
        )
    return "PS200", f"{source} cannot be described ({code})", "try again; see the AWS health page"


def _explain_setup(error: Exception, source: str) -> tuple[str, str, str]:
    from botocore import exceptions as boto

    if isinstance(error, boto.ProfileNotFound):
        profile = error.kwargs.get("profile")
        return "PS202", f"the profile {profile} of {source} does not exist", "check AWS_PROFILE"
    if isinstance(error, ValueError) and not isinstance(error, boto.BotoCoreError):
        return "PS205", f"the endpoint of {source} is no URL", "check AWS_ENDPOINT_URL"
    name = type(error).__name__
    return (
        "PS202",
        f"the credentials for {source} cannot be had ({name})",
        "check AWS_PROFILE; an SSO login or role may have expired",
    )

"""Checks Signature Version 4: signs the request again with botocore's signer, and compares.

Rules: everything that can change what is done is signed: method, path, query, host, every x-amz-*
header, and the body by a hash that is computed here; the time is at most five minutes from ours;
region and service are fixed; signatures are compared in constant time. Within the five minutes a
request can be sent again by whoever sees it: only TLS keeps it from being seen.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from botocore.utils import normalize_url_path
from starlette.requests import Request

from penstock.errors import Refusal
from penstock.refusals import INCOMPLETE, UNKNOWN_CALLER, WRONG_SIGNATURE

ALGORITHM: Final = "AWS4-HMAC-SHA256"
SERVICE: Final = "lambda"
SKEW: Final = timedelta(minutes=5)
_WRONG: Final = (
    "The request signature we calculated does not match the signature you provided. Check your AWS "
    "Secret Access Key and signing method. Consult the service documentation for details."
)
_PARTS: Final = ("Credential", "SignedHeaders", "Signature")
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}")
_SIGNED_HEADERS_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What a request says of its signature, before it is believed."""

    key_id: str
    region: str
    timestamp: str
    headers: Sequence[str]
    signature: str


def read_signature(request: Request, *, region: str, now: datetime) -> Signed:
    """Understand the Authorization header; refuse what no key could make right."""
    told = _parts(request.headers["authorization"])
    scope = told["Credential"].split("/")
    if len(scope) != 5 or not all(scope) or scope[4] != "aws4_request":
        raise Refusal("Credential must have exactly 5 slash-delimited elements, e.g. "
                      "keyid/date/region/service/term", type=INCOMPLETE)  # fmt: skip
    key_id, day, scoped_region, service, _ = scope
    headers = told["SignedHeaders"].lower().split(";")
    timestamp = _timestamp(request, headers)
    if day != timestamp[:8]:
        raise _wrong(f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of "
                     f"date from HTTP: '{day[:16]}' != '{timestamp[:8]}', from "
                     f"'{timestamp}'.")  # fmt: skip
    if scoped_region != region:
        raise _wrong("Credential should be scoped to a valid region.",
                     hint=f"sign for the region {region}")  # fmt: skip
    if service != SERVICE:
        raise _wrong(f"Credential should be scoped to correct service: '{SERVICE}'.")
    _check_time(timestamp, now)
    _check_covered(request, headers)
    return Signed(
        key_id=key_id,
        region=scoped_region,
        timestamp=timestamp,
        headers=headers,
        signature=told["Signature"],
    )


def check_signature(request: Request, signed: Signed, secret: str, body: bytes) -> None:
    """Refuse a request that this secret has not signed."""
    path = request.scope["raw_path"].decode("latin-1")
    # What the signer leaves out or makes even would be believed unsigned.
    if normalize_url_path(path) != path or b"#" in request.scope["query_string"] or "#" in path:
        raise _wrong(_WRONG)
    hashed = hashlib.sha256(body).hexdigest()
    # Where the header is there it is what was signed, so it must be the body's own.
    sent = request.headers.get("x-amz-content-sha256", hashed)
    if not hmac.compare_digest(sent.encode(), hashed.encode()):
        raise _wrong(_WRONG)
    if not hmac.compare_digest(_expected(request, signed, secret, body), signed.signature):
        raise _wrong(_WRONG)


class _Signer(SigV4Auth):  # type: ignore[misc]
    """Botocore's signer, for the headers that the caller chose to sign."""

    def headers_to_sign(self, request: Any) -> Any:
        """Give every header of the rebuilt request, which has only those."""
        return request.headers


def _expected(request: Request, signed: Signed, secret: str, body: bytes) -> str:
    # As it came: how a path or query was spelled is part of what is signed.
    target = request.scope["raw_path"].decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    rebuilt = AWSRequest(
        method=request.method,
        url=f"https://{request.headers['host']}{target}{'?' if query else ''}{query}",
        data=body,
    )
    rebuilt.headers = HTTPHeaders()
    for name in signed.headers:
        for value in request.headers.getlist(name):
            rebuilt.headers.add_header(name, value)
    rebuilt.context["timestamp"] = signed.timestamp
    signer = _Signer(Credentials(signed.key_id, secret), SERVICE, signed.region)
    prepared: Any = rebuilt
    text = signer.string_to_sign(prepared, signer.canonical_request(prepared))
    return str(signer.signature(text, prepared))


def _parts(header: str) -> dict[str, str]:
    """Take an Authorization header apart: each part once, and nothing else."""
    _, _, rest = header.partition(" ")
    told: dict[str, str] = {}
    for part in rest.split(","):
        name, _, value = part.strip().partition("=")
        if name not in _PARTS or name in told:
            raise Refusal(f"Authorization header has an unexpected or repeated part: "
                          f"{name[:64]!r}.", type=INCOMPLETE)  # fmt: skip
        told[name] = value
    missing = [name for name in _PARTS if not told.get(name)]
    if missing:
        raise Refusal(
            " ".join(f"Authorization header requires '{name}' parameter." for name in missing),
            type=INCOMPLETE,
        )
    if not _SIGNATURE.fullmatch(told["Signature"]):
        raise _wrong(_WRONG)
    return told


def _timestamp(request: Request, signed: Sequence[str]) -> str:
    found = request.headers.getlist("x-amz-date")
    if len(found) != 1 or "x-amz-date" not in signed:
        raise Refusal("Authorization header requires existence of a signed 'X-Amz-Date' header.",
                      type=INCOMPLETE)  # fmt: skip
    return found[0]


def _check_time(timestamp: str, now: datetime) -> None:
    try:
        when = datetime.strptime(timestamp, SIGV4_TIMESTAMP).replace(tzinfo=UTC)
    except ValueError:
        raise Refusal("Date must be in ISO-8601 'basic format'. Got "
                      f"'{timestamp[:32]}'. See http://en.wikipedia.org/wiki/ISO_8601",
                      type=INCOMPLETE) from None  # fmt: skip
    ours, earliest, latest = (_spell(each) for each in (now, now - SKEW, now + SKEW))
    if when < now - SKEW:
        raise _wrong(f"Signature expired: {timestamp} is now earlier than {earliest} "
                     f"({ours} - 5 min.)")  # fmt: skip
    if when > now + SKEW:
        raise _wrong(f"Signature not yet current: {timestamp} is still later than {latest} "
                     f"({ours} + 5 min.)")  # fmt: skip


def _check_covered(request: Request, signed: Sequence[str]) -> None:
    """Every header that has a meaning is signed, and every signed one is there once."""
    there = {name for name in request.headers if name == "host" or name.startswith("x-amz-")}
    unclear = len(signed) > _SIGNED_HEADERS_MAX or len(set(signed)) != len(signed)
    if unclear or any(len(request.headers.getlist(name)) != 1 for name in signed):
        raise _wrong(_WRONG)
    if not there <= set(signed):
        raise _wrong("'Host' and all 'X-Amz-*' headers must be in 'SignedHeaders'.")
    if "x-amz-security-token" in request.headers:
        # Keys of penstock are no session's.
        raise Refusal("The security token included in the request is invalid.",
                      type=UNKNOWN_CALLER)  # fmt: skip


def _spell(moment: datetime) -> str:
    return moment.strftime(SIGV4_TIMESTAMP)


def _wrong(message: str, *, hint: str | None = None) -> Refusal:
    return Refusal(message, type=WRONG_SIGNATURE, hint=hint)

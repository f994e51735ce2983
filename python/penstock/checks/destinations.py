"""Asks a destination of AWS whether it is there, without sending it anything.

Rules: nothing is delivered, so the permission to deliver cannot be shown, only whether the
destination is there and as whom it is called; a role is assumed as a run would; who may not look
may still be allowed to deliver, and is told so.
"""

from __future__ import annotations

from typing import Final

from penstock.access import Access
from penstock.checks.findings import Finding
from penstock.destinations import AwsTarget
from penstock.identities import Identity

_SUBJECT: Final = "destination"
_CODES: Final = {"not_found": "PS203", "denied": "PS204", "transient": "PS205"}
_HINTS: Final = {
    "not_found": "make it, or check its name, the region and the account of the credentials",
    "denied": "check the role, the profile and the keys that documents are delivered with",
    "transient": "check the network, the region and destination_endpoint_url",
}


def aws_destination(name: str, identity: Identity, access: Access) -> Finding:
    """Look at a queue, a topic or a bucket."""
    found = AwsTarget(name, identity, access).look()
    if found is None:
        return Finding(subject=_SUBJECT, good=True, said=f"{name} is there")
    if isinstance(found, str):
        said = f"{name}: {found} is not allowed, so whether it is there shows when a document goes"
        return Finding(subject=_SUBJECT, good=True, said=said)
    kind, said = found
    return Finding(
        subject=_SUBJECT,
        good=False,
        said=said,
        code=_CODES.get(kind, "PS400"),
        hint=_HINTS.get(kind, "try again; see the AWS health page"),
    )

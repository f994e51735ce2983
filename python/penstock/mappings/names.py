"""Reads the names of functions and mappings in requests: names, partial ARNs, ARNs.

Rules: a function keeps the qualifier that it was named with, since a version and an alias of it
are mappings of their own; only what a name itself says is compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_FUNCTION: Final = re.compile(
    r"(?:arn:(?P<partition>aws[a-zA-Z-]*):lambda:)?(?:(?P<region>[a-z]{2}[a-z-]*-\d):)?"
    r"(?:(?P<account>\d{12}):)?(?:function:)?(?P<name>[a-zA-Z0-9-_]{1,64})"
    r"(?::(?P<qualifier>\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9-_]+))?",
    re.ASCII,
)
_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_MAPPING: Final = re.compile(rf"arn:[^:]+:lambda:[^:]*:\d{{12}}:event-source-mapping:({_UUID})")


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionRef:
    """A function as a request names it; what it does not say is None."""

    name: str
    qualifier: str | None = None
    region: str | None = None
    account: str | None = None
    partition: str | None = None

    @property
    def label(self) -> str:
        """The bare name, with its qualifier if it was given one."""
        return self.name if self.qualifier is None else f"{self.name}:{self.qualifier}"

    def arn(self, region: str, account: str) -> str:
        """Give the whole ARN; what the request said goes first."""
        partition = self.partition or "aws"
        where = f"{self.region or region}:{self.account or account}"
        return f"arn:{partition}:lambda:{where}:function:{self.label}"

    def names(self, arn: str) -> bool:
        """Whether an ARN is of this very function, version or alias."""
        other = parse_function(arn)
        return (
            other is not None
            and other.label == self.label
            and self.region in {None, other.region}
            and self.account in {None, other.account}
        )


def parse_function(text: str) -> FunctionRef | None:
    """Understand a function's name in any of its forms."""
    match = _FUNCTION.fullmatch(text)
    return None if match is None else FunctionRef(**match.groupdict())


def function_label(arn: str) -> str:
    """Give the name and qualifier in a function's ARN: what tells functions of a process apart."""
    named = parse_function(arn)
    return arn if named is None else named.label


def mapping_arn(uuid: str, function_arn: str) -> str:
    """Give the ARN of a mapping, which lives where its function does."""
    _, partition, _, region, account, *_ = function_arn.split(":")
    return f"arn:{partition}:lambda:{region}:{account}:event-source-mapping:{uuid}"


def mapping_of_arn(arn: str) -> str | None:
    """Give the UUID in a mapping's ARN."""
    match = _MAPPING.fullmatch(arn)
    return None if match is None else match[1]

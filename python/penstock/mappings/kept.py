"""Holds a mapping as the mapping API keeps it, with its defaults, and describes it as AWS does.

Rules: what a mapping was given and its defaults are stored when it is made, so that a later default
does not change it; members that were never set are left out of answers, as AWS leaves them out;
with the defaults of 2019 an answer has the members that answers had then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from penstock.mappings.kinds import QUEUES, STREAMS, Kind, is_neutral, kind_of
from penstock.mappings.names import function_label, mapping_arn

Year = Literal["2019", "today"]

CREATING, ENABLING, ENABLED = "Creating", "Enabling", "Enabled"
DISABLING, DISABLED, UPDATING, DELETING = "Disabling", "Disabled", "Updating", "Deleting"
STABLE: Final = frozenset({ENABLED, DISABLED})
NO_RECORDS: Final = "No records processed"
API: Final = "api"

_STREAM: Final[dict[str, Any]] = {
    "BatchSize": 100,
    "BisectBatchOnFunctionError": False,
    "DestinationConfig": {"OnFailure": {}},
    "FunctionResponseTypes": [],
    "MaximumBatchingWindowInSeconds": 0,
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "ParallelizationFactor": 1,
    "TumblingWindowInSeconds": 0,
}
_QUEUE: Final[dict[str, Any]] = {
    "BatchSize": 10,
    "FunctionResponseTypes": [],
    "MaximumBatchingWindowInSeconds": 0,
}
_OF_2019: Final[dict[str, Any]] = {
    "MaximumRecordAgeInSeconds": 604_800,
    "MaximumRetryAttempts": 10_000,
}
# Members that answers did not have in 2019; the empty ones are left out, the others always.
_LATER: Final = frozenset(
    {"EventSourceMappingArn", "StartingPosition", "StartingPositionTimestamp"}
)
_LATER_IF_SET: Final = frozenset({"TumblingWindowInSeconds", "FunctionResponseTypes"})
_NEVER_ANSWERED: Final = frozenset({"FunctionName", "Enabled", "Tags"})
# Members whose empty form means that they are not set.
_CLEARED: Final = frozenset({
    "FilterCriteria", "ScalingConfig", "ProvisionedPollerConfig", "KMSKeyArn", "MetricsConfig",
    "LoggingConfig",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One mapping: its members with their defaults, its function, its state."""

    uuid: str
    config: Mapping[str, Any]
    function_arn: str
    enabled: bool
    state: str
    modified: float
    result: str | None = None
    reason: str = "User action"
    tags: Mapping[str, str] = field(default_factory=dict)
    origin: str = API
    order: int = 0

    @property
    def pair(self) -> tuple[str, str]:
        """What it reads and calls; only one mapping of a process has the same.

        Of the function that is name and qualifier: whatever region and account an ARN says, the
        function is the one that is registered.
        """
        return self.source, function_label(self.function_arn)

    @property
    def kind(self) -> Kind:
        """The kind of its source."""
        found = kind_of(self.config)
        assert found is not None, "a mapping of no kind is never kept"
        return found

    @property
    def source(self) -> str:
        """What it reads, for people and for telling twins."""
        return str(self.config.get("EventSourceArn") or self.config.get("SelfManagedEventSource"))

    @property
    def arn(self) -> str:
        """The mapping's own ARN."""
        return mapping_arn(self.uuid, self.function_arn)

    def answer(self, year: Year = "today") -> dict[str, Any]:
        """Describe it as AWS does."""
        found = {key: value for key, value in self.config.items() if key not in _NEVER_ANSWERED}
        found |= {
            "EventSourceMappingArn": self.arn,
            "FunctionArn": self.function_arn,
            "LastModified": self.modified,
            "State": self.state,
            "StateTransitionReason": self.reason,
            "UUID": self.uuid,
        }
        if self.result is not None:
            found["LastProcessingResult"] = self.result
        if year == "2019":
            if is_neutral(found.get("DestinationConfig", {"unset": 1})):
                found["DestinationConfig"] = {}
            for name in _LATER | {each for each in _LATER_IF_SET if not found.get(each)}:
                found.pop(name, None)
        return dict(sorted(found.items()))


def with_defaults(request: Mapping[str, Any], kind: Kind, year: Year, uuid: str) -> dict[str, Any]:
    """Give the members of a request to create, with the defaults of its kind of source."""
    if kind in STREAMS:
        defaults = _STREAM | (_OF_2019 if year == "2019" else {})
    elif kind in QUEUES:
        defaults = _QUEUE
    else:
        defaults = {"BatchSize": 100}
        if kind == "kafka":
            defaults["StartingPosition"] = "TRIM_HORIZON"
    config = merged(defaults, request)
    for name, of in (("AmazonManagedKafka", "msk"), ("SelfManagedKafka", "kafka")):
        if kind == of:
            own = config.setdefault(f"{name}EventSourceConfig", {})
            config[f"{name}EventSourceConfig"] = {"ConsumerGroupId": uuid} | own
    return {key: value for key, value in config.items() if key not in _NEVER_ANSWERED}


def merged(config: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Give the members after a request, in which an empty structure takes a member back."""
    found = dict(config)
    for name, value in request.items():
        if name in _CLEARED and is_neutral(value):
            found.pop(name, None)
        elif name == "DestinationConfig":
            found[name] = value if not is_neutral(value) else {"OnFailure": {}}
        else:
            found[name] = value
    return {key: value for key, value in found.items() if key not in _NEVER_ANSWERED}


def first_result(kind: Kind) -> str | None:
    """Give what a new mapping says of its processing; queues never say anything."""
    return None if kind in QUEUES else NO_RECORDS


def reason_of(kind: Kind) -> str:
    """Say why a state was entered, as AWS says it for that kind of source."""
    return "User action" if kind in STREAMS | {"docdb"} else "USER_INITIATED"

"""Runs our own servers, of Kinesis, DynamoDB and SQS, and orders their clocks and their faults.

Faults meet the calls of their scope: so many times, for so many real milliseconds, by a script of
one step a call, or until cleared. Moving the clock never ends a fault.
"""

import contextlib
import http.client
import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from tests.services import dynamodb, kinesis, sqs
from tests.services.aws import Endpoint
from tests.services.environment import ACCESS_KEY, USER_ENVIRONMENT
from tests.services.process import running

_ROOT = Path(__file__).resolve().parents[2]
_BUILD_WITHIN_S = 600

Garbage = Literal["broken", "not_json", "nothing", "unknown_fields", "escapes"]
Step = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which calls a fault meets; what is left out matches everything."""

    operation: str | None = None
    stream: str | None = None
    shard: str | None = None
    access_key: str | None = None

    def document(self) -> dict[str, str]:
        names = ("operation", "stream", "shard", "access_key")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


READS = Scope(operation="GetRecords")
RECEIVES = Scope(operation="ReceiveMessage")
EVERYTHING = Scope()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call the server saw.

    `at_ms` is real time since it started; `outcome` is `ok`, an error's type, or the fault that
    spoiled the answer.
    """

    at_ms: int
    operation: str
    stream: str | None
    shard: str | None
    outcome: str
    records: int


class WireServer:
    """A running server of ours, and its control interface."""

    def __init__(self, endpoint: Endpoint):
        self.endpoint = endpoint
        self.port = endpoint.port
        self.url = endpoint.url

    def client(self, service: str | None = None, **options: Any) -> Any:
        """Returns a boto3 client for this server, of another service than its first if told."""
        return self.endpoint.client(service, **options)

    # The clock.

    def now_ms(self) -> int:
        return int(self._get("clock")["now_ms"])

    def advance(self, ms: int) -> int:
        """Moves the clock forward; returns its new time in milliseconds."""
        return int(self._post("clock", {"advance_ms": ms})["now_ms"])

    def skew(self, offset_ms: int | None, code: str = "InvalidSignatureException") -> None:
        """Lets `Date` be off and refuses requests more than five minutes from it; None ends it."""
        order = None if offset_ms is None else {"offset_ms": offset_ms, "code": code}
        self._post("skew", order)

    # Faults. Each returns a number that `clear` takes.

    def fault(
        self,
        effect: Step,
        scope: Scope = READS,
        *,
        times: int | None = None,
        for_ms: int | None = None,
    ) -> int:
        """Orders any effect, as the control interface writes it."""
        order = {"scope": scope.document(), "effect": effect, "times": times, "for_ms": for_ms}
        return int(self._post("faults", order)["id"])

    def script(self, steps: Sequence[Step], scope: Scope = READS) -> int:
        """Orders one effect for each of the next calls; `OK` lets one through."""
        order = {"scope": scope.document(), "script": list(steps)}
        return int(self._post("faults", order)["id"])

    def throttle(self, scope: Scope = READS, **end: int) -> int:
        return self.fault(THROTTLE, scope, **end)

    def slow(self, ms: int, scope: Scope = READS, **end: int) -> int:
        return self.fault(slow(ms), scope, **end)

    def reset_connection(self, after_bytes: int = 100, scope: Scope = READS, **end: int) -> int:
        return self.fault({"kind": "reset", "after_bytes": after_bytes}, scope, **end)

    def truncate(self, after_bytes: int = 100, scope: Scope = READS, **end: int) -> int:
        return self.fault({"kind": "truncate", "after_bytes": after_bytes}, scope, **end)

    def garbage(self, form: Garbage, scope: Scope = READS, **end: int) -> int:
        return self.fault({"kind": "garbage", "form": form}, scope, **end)

    def empty(self, scope: Scope = READS, **end: int) -> int:
        """Answers reads without records though there are some."""
        return self.fault({"kind": "empty"}, scope, **end)

    def internal_failure(self, scope: Scope = READS, **end: int) -> int:
        return self.fault(error(500, "InternalFailure", "internal failure"), scope, **end)

    def unavailable(self, scope: Scope = READS, **end: int) -> int:
        return self.fault(error(503, "ServiceUnavailable", "unavailable"), scope, **end)

    def deny_access(self, scope: Scope = EVERYTHING, **end: int) -> int:
        who = "User: arn:aws:iam::000000000000:user/test is not authorized to perform this"
        return self.fault(error(400, "AccessDeniedException", who), scope, **end)

    def expire_token(self, access_key: str = ACCESS_KEY, **end: int) -> int:
        """Refuses all calls signed with one access key."""
        said = "The security token included in the request is expired"
        scope = Scope(access_key=access_key)
        return self.fault(error(400, "ExpiredTokenException", said), scope, **end)

    def clear(self, fault: int | None = None) -> int:
        """Ends one fault, or all; returns how many were on."""
        return int(self._post("clear", {"id": fault})["cleared"])

    # The streams themselves.

    def settings(self, **settings: object) -> None:
        """Replaces the settings; what is left out is as by default (see its settings.rs)."""
        self._post("settings", settings)

    def limit_reads(self, calls_per_second: float = 5, bytes_per_second: float = 2 << 20) -> None:
        """Gives every Kinesis shard limits for readers; other settings return to defaults."""
        limits = {"calls_per_second": calls_per_second, "bytes_per_second": bytes_per_second}
        self.settings(read_limits=limits)

    def expire_iterators(self, stream: str | None = None, shard: str | None = None) -> None:
        self._post("expire_iterators", {"stream": stream, "shard": shard})

    def trim(
        self, stream: str, shard: str, *, below: str | None = None, before_ms: int | None = None
    ) -> int:
        """Trims a shard below a sequence number, before a time, or wholly; returns how many."""
        order = {"stream": stream, "shard": shard, "below": below, "before_ms": before_ms}
        return int(self._post("trim", order)["trimmed"])

    # What it saw.

    def stats(self) -> dict[str, Any]:
        """Returns counts by operation, by stream, shard and operation, and of connections."""
        return self._get("stats")

    def reset_stats(self) -> None:
        self._post("reset_stats", {})

    def calls(
        self,
        operation: str | None = None,
        *,
        stream: str | None = None,
        shard: str | None = None,
    ) -> list[Call]:
        """Returns the calls seen, in the order of their times."""
        seen = [Call(**one) for one in self._get("calls")["calls"]]
        seen.sort(key=lambda one: one.at_ms)
        return [
            one
            for one in seen
            if operation in (None, one.operation)
            and stream in (None, one.stream)
            and shard in (None, one.shard)
        ]

    def busiest_second(self, operation: str | None = None, **of: str) -> int:
        """Returns the most calls seen on one shard within any second."""
        times: dict[tuple[str | None, str | None], list[int]] = {}
        for one in self.calls(operation, **of):
            times.setdefault((one.stream, one.shard), []).append(one.at_ms)
        return max((most_within(at, 1000) for at in times.values()), default=0)

    def outcomes(self, operation: str) -> Counter[str]:
        return Counter(one.outcome for one in self.calls(operation))

    def _get(self, action: str) -> dict[str, Any]:
        return self._control("GET", action, None)

    def _post(self, action: str, body: object) -> dict[str, Any]:
        return self._control("POST", action, json.dumps(body))

    def _control(self, method: str, action: str, body: str | None) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, f"/_control/{action}", body)
            answer = connection.getresponse()
            document: dict[str, Any] = json.loads(answer.read())
        if answer.status != 200:
            raise ValueError(f"{method} {action}: {document.get('message')}")
        return document


class DynamoDbServer(WireServer):
    """Our server of DynamoDB and its streams. A stream's name, here, is its table's."""

    def split(self, table: str, shard: str | None = None, *, children: int = 2) -> list[str]:
        """Closes a shard, or all that are open; returns the ids of their children."""
        order = {"stream": table, "shard": shard, "children": children}
        return [str(one) for one in self._post("split", order)["shards"]]

    def roll(self, table: str, shard: str | None = None) -> list[str]:
        """Closes a shard, or all that are open, each followed by one child; returns those."""
        return self.split(table, shard, children=1)

    def ttl_delete(self, table: str, key: Mapping[str, object]) -> bool:
        """Deletes an item as the service does when its time is over; returns whether it was."""
        return bool(self._post("ttl_delete", {"table": table, "key": dict(key)})["deleted"])


class SqsServer(WireServer):
    """Our server of SQS. A stream's name, here, is a queue's."""

    def expire_receipts(self, queue: str | None = None) -> None:
        """Lets the receipts that are out be unknown from now on: of one queue, or of all."""
        self._post("expire_receipts", {"queue": queue})

    def refuse_entries(
        self, code: str, operation: str = "DeleteMessageBatch", *, every: int = 1, **end: int
    ) -> int:
        """Refuses the first of every so many entries of a batch; the others are carried out."""
        effect = {"kind": "refuse_entries", "every": every, "code": code, "message": "by order"}
        return self.fault(effect, Scope(operation=operation), **end)

    def duplicate(self, **end: int) -> int:
        """Lets what a receive is answered with be received again at once."""
        return self.fault({"kind": "duplicate"}, RECEIVES, **end)

    def lose_answers(self, **end: int) -> int:
        """Carries receives out, and resets the connection before their answer."""
        return self.reset_connection(0, RECEIVES, **end)

    def depth(self, queue: str) -> dict[str, int]:
        """Returns how many messages are visible, in flight and delayed, exactly."""
        return self._post("depth", {"queue": queue})


# Steps of a script.

OK: Step = {"kind": "ok"}
THROTTLE: Step = {"kind": "throttle"}


def error(status: int, code: str, message: str) -> Step:
    """A step that answers with an error."""
    return {"kind": "error", "status": status, "code": code, "message": message}


def slow(ms: int) -> Step:
    """A step that answers late."""
    return {"kind": "slow", "ms": ms}


def most_within(times: Sequence[int], span: int) -> int:
    """Returns the most of some rising times that lie within any half-open span."""
    most, first = 0, 0
    for last, time in enumerate(times):
        while times[first] <= time - span:
            first += 1
        most = max(most, last - first + 1)
    return most


@contextlib.contextmanager
def wire_server(*arguments: str) -> Iterator[WireServer]:
    """Runs our server; arguments are those of `penstock-servers kinesis`."""
    with _started("kinesis", arguments, lambda port: kinesis.call(port, "ListStreams", {})) as made:
        server = WireServer(made)
        server.reset_stats()
        yield server


@contextlib.contextmanager
def dynamodb_server(*arguments: str) -> Iterator[DynamoDbServer]:
    """Runs our server; arguments are those of `penstock-servers dynamodb`."""
    with _started("dynamodb", arguments, dynamodb.list_streams) as made:
        server = DynamoDbServer(made)
        server.reset_stats()
        yield server


@contextlib.contextmanager
def sqs_server(*arguments: str) -> Iterator[SqsServer]:
    """Runs our server; arguments are those of `penstock-servers sqs`."""
    with _started("sqs", arguments, sqs.list_queues) as made:
        server = SqsServer(made)
        server.reset_stats()
        yield server


@contextlib.contextmanager
def _started(
    service: str, arguments: Sequence[str], answers: Callable[[int], object]
) -> Iterator[Endpoint]:
    command = [str(servers_binary()), service, "--port", "0", *arguments]
    with running("penstock-servers", command) as child:
        port = child.fact(lambda fact: "port" in fact)["port"]
        if not isinstance(port, int):
            raise TypeError(f"penstock-servers listens on {port!r}")
        child.wait_until(lambda: answers(port))
        yield Endpoint(name="penstock-servers", service=service, port=port, child=child)


@cache
def servers_binary() -> Path:
    """Returns the program: PENSTOCK_SERVERS_BIN, or the newest build; builds when it is stale."""
    given = os.environ.get("PENSTOCK_SERVERS_BIN")
    if given:
        return Path(given)
    target = Path(USER_ENVIRONMENT.get("CARGO_TARGET_DIR") or _ROOT / "target")
    built = [target / profile / "penstock-servers" for profile in ("debug", "release")]
    newest = max(built, key=_modified)
    sources = [path for path in (_ROOT / "tests/servers").rglob("*") if path.is_file()]
    if _modified(newest) >= max(map(_modified, sources)):
        return newest
    command = ["cargo", "build", "--quiet", "--locked", "-p", "penstock-servers"]
    subprocess.run(command, cwd=_ROOT, env=USER_ENVIRONMENT, check=True, timeout=_BUILD_WITHIN_S)
    # Cargo leaves the file as it is when nothing that matters to it has changed.
    built[0].touch()
    return built[0]


def _modified(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0

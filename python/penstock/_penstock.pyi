"""The surface of the Rust extension, written by hand and checked by stubtest."""

from typing import Any, final

__all__ = [
    "Inbox",
    "Invocation",
    "Outbox",
    "Runtime",
    "config_fields",
    "debug_build",
    "error_codes",
    "features",
    "matches",
    "normalize",
    "version",
]

@final
class Runtime:
    """Owns the I/O threads, the state directory and the mappings of one engine.

    `document` is JSON: {"state_dir": str | null (memory), "clock": "system" | "manual",
    "seed": int | null, "workers": {pool: slots}, "buffered_bytes_max": int | null,
    "trace_dir": str | null, "log_capacity": int | null, "log_level": "debug"|"info"|…,
    "stream_retention_s": int | null, "stream_bytes_max": int | null,
    "queue_bytes_max": int | null}.
    """

    def __new__(cls, document: bytes, /) -> Runtime: ...
    @property
    def closed(self) -> bool: ...
    def add_mapping(self, document: bytes, /) -> str:
        """Starts a mapping; returns its id at once. The document is config/document.rs's."""

    def update_mapping(self, mapping: str, document: bytes, /) -> None:
        """Gives a running mapping other options; `Enabled` pauses it or lets it go on.

        What it reads, and with which access, cannot be changed.
        """

    def remove_mapping(self, mapping: str, /) -> None: ...
    def pause(self, mapping: str, /) -> None: ...
    def resume(self, mapping: str, /) -> None: ...
    def keep_lanes(self, pool: str, slots: list[int], /) -> None: ...
    def next_invocation(self, pool: str, slot: int, timeout: float, /) -> Invocation | None:
        """Waits detached from the interpreter, at most `timeout` seconds."""

    def complete(
        self,
        mapping: str,
        invocation: int,
        outcome: str,
        answer: bytes | None = None,
        kind: str | None = None,
        message: str | None = None,
        /,
    ) -> None:
        """Reports how an invocation ended; never blocks.

        `outcome` is "returned" (with `answer`, the JSON text of what the handler returned, None
        for null), "raised", "timed_out", "crashed" (with `kind` and `message`) or "rejected".
        """

    def snapshot(self) -> bytes:
        """JSON: {"mappings": [MappingSnapshot…], "exchange": {pools…}, "buffered_bytes": int,
        "access_waits": …, "attach_wait_seconds": float}; see docs of penstock_engine::snapshot."""

    def drain_notices(self, limit: int, /) -> list[tuple[str, str, str, str | None, str]]:
        """(mapping, level, code, shard, message)."""

    def drain_logs(self, limit: int, /) -> list[tuple[float, str, str, str, dict[str, str]]]:
        """(unix seconds, level, target, message, fields); then whatever was lost is counted in
        the snapshot."""

    def next_errand(
        self, timeout: float, kinds: list[str] = ..., /
    ) -> tuple[int, str, bytes] | None:
        """(id, kind, document), of one of `kinds` or of any.

        "access": {"access": name, "reason": text}. "deliver": {"mapping", "destination", "shard",
        "id", "timestamp"} on the first line, then the failure document as it is to be delivered.
        """

    def finish_errand(self, errand: int, outcome: str, detail: bytes | None = None, /) -> None:
        """`outcome` is "done" or a fault's code with a JSON {"message": …} as `detail`."""

    def push_access(self, document: bytes, /) -> None:
        """JSON: {"access": name, "region": str, "endpoint": url, "access_key_id": str | null,
        "secret_access_key": …, "session_token": … | null, "expires_at": unix seconds | null,
        "ca_bundle": path | null, "proxy": url | null, "connect_timeout_s", "read_timeout_s"}."""

    def streams(self, document: bytes, /) -> bytes:
        """Commands of the embedded streams, JSON in and out: {"op": "create", "name", "shards"},
        {"op": "list"}, {"op": "describe", "name"}, {"op": "delete", "name"},
        {"op": "put", "name", "records": [{"key": str, "data": base64, "hash_key": str | null}…]},
        {"op": "read", "name", "shard", "after": sequence number | null, "limit", "wait_ms"},
        {"op": "split", "name", "shard"}, {"op": "merge", "name", "shard", "adjacent"}.

        Answers: create and describe give the stream with its "shards"; list {"streams": […]};
        put {"records": [{"shard", "sequence_number"}…]}; read {"records": [{"key", "data",
        "sequence_number", "arrival_ms"}…], "behind_ms", "ended", "children"}; split and merge
        {"shards": [names of the new ones]}; delete {}."""

    def queues(self, document: bytes, /) -> bytes:
        """Commands of the embedded queues, JSON in and out: {"op": "create", "name",
        "visibility_timeout_s", "delay_s", "retention_s", "content_based_deduplication",
        "dead_letter_queue", "max_receive_count"}, {"op": "list"}, {"op": "describe", "name"},
        {"op": "delete", "name"}, {"op": "send", "name", "messages": [{"body", "delay_s", "group",
        "deduplication_id", "trace_header", "attributes": {name: {"DataType", "StringValue" |
        "BinaryValue": base64}}}…]}, {"op": "browse", "name", "after": number, "limit"}.

        Answers: create and describe give the queue; list {"queues": […]}; send {"messages":
        [{"message_id", "md5_of_body", "md5_of_attributes", "sequence_number"}…]}; browse
        {"messages": [{"number", "message_id", "body", "group", "sent_ms", "receive_count",
        "visible", "origin"}…]}; delete {}."""

    def checkpoints(self, mapping: str, /) -> bytes:
        """What is saved for a mapping, as JSON rows."""

    def forget_checkpoints(self, mapping: str, /) -> None:
        """Forgets what is saved for a mapping that does not run: one of its id begins anew."""

    def move_checkpoints(self, document: bytes, /) -> bytes:
        """An operator's move, JSON in and out: {"op": "set", "mapping", "shard", "position"},
        {"op": "skip", "mapping", "shard"}, {"op": "import", "mapping", "rows": [{"shard",
        "checkpoint"}…]}.

        Answers {"moved": [{"shard", "before", "after"}…]}, each under a new fence, and of a skip
        {"skipped": [{"lane", "span", "records", "document"}…]} too."""

    def drain(self, timeout: float, /) -> bool:
        """Finishes what runs and saves; False when the time was up before that."""

    def advance(self, milliseconds: int, /) -> None:
        """Moves a manual clock."""

    def close(self, timeout: float, /) -> None: ...

@final
class Invocation:
    """One call to make. Frozen; keeps its records alive until dropped."""

    @property
    def id(self) -> int: ...
    @property
    def mapping(self) -> str: ...
    @property
    def handler(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def request_id(self) -> str: ...
    @property
    def shard(self) -> str: ...
    @property
    def lane(self) -> int: ...
    @property
    def fence(self) -> int: ...
    @property
    def remaining_ms(self) -> int:
        """Until the function's timeout, by the runtime's clock; may be negative."""

    @property
    def record_count(self) -> int: ...
    def event(self) -> dict[str, Any]:
        """The event as plain dicts, equal to what AWS delivers."""

    def json(self) -> bytes:
        """The same as compact JSON."""

@final
class Outbox:
    """The parent's side of one child process."""

    def __new__(cls, descriptor: int | None, size: int, /) -> Outbox:
        """Uses the first `size` bytes of a shared file, or none."""

    def write(self, invocation: Invocation, /) -> int | None:
        """Writes a frame into the shared memory; its length, None when there is no room."""

    def encode(self, invocation: Invocation, /) -> bytes:
        """Makes a frame that is to be sent in some other way."""

@final
class Inbox:
    """The child's side: makes invocations of frames. Their clock is the child's own."""

    def __new__(cls, descriptor: int | None, size: int, /) -> Inbox: ...
    def read(self, length: int, /) -> Invocation: ...
    def decode(self, frame: bytes, /) -> Invocation: ...

def normalize(document: bytes, /) -> bytes: ...
def matches(pattern: str, record: bytes, /) -> tuple[bool, str | None]:
    """Whether a record (JSON: one of an event, or any object) passes a pattern; else why not."""

def error_codes() -> list[str]: ...
def config_fields() -> list[str]: ...
def features() -> list[str]: ...
def version() -> str: ...
def debug_build() -> bool: ...

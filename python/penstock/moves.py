"""Moves checkpoints as an operator asks: reads a shard from elsewhere, lets go of what is stuck.

Rules: every move is recorded before it is made and after; each shard that is moved has a new fence,
so that whoever read it before can save nothing any more; a document of another version, of another
stream or with unknown members is refused whole. Deciding and storing are the engine's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from penstock.audit import Asker, Audit
from penstock.errors import ConfigurationError, MappingNotFound

if TYPE_CHECKING:
    from penstock._bridge import Runtime

FORMAT: Final = "penstock-checkpoints"
VERSION: Final = 1
_MEMBERS: Final = frozenset({"format", "version", "mapping", "exported", "rows"})
_ROW: Final = frozenset({"shard", "checkpoint"})
# Members that an earlier version did not write have a default.
_CHECKPOINT: Final = frozenset(
    {"position", "lanes", "fronts", "incarnation", "settled_arrival", "window", "fence"}
)
_WORDS: Final[dict[str, Any]] = {"TRIM_HORIZON": "TrimHorizon", "SHARD_END": "ShardEnd"}


class Moves:
    """The moves of one runtime's checkpoints."""

    def __init__(self, runtime: Runtime, audit: Audit) -> None:
        self._runtime = runtime
        self._audit = audit

    def run(self, mapping: str, command: Mapping[str, Any], asker: Asker) -> dict[str, Any]:
        """Carry out a move: `set`, `skip` or `import`; give what was moved, and what skipped."""
        op = command.get("op")
        if op not in {"set", "skip", "import"}:
            raise ConfigurationError(f"{op!r} is none of set, skip and import", path="op")
        asked = {key: command.get(key) for key in ("shard", "position") if key in command}
        with self._audit.changing(
            f"checkpoint.{op}", asker, mapping=mapping, asked=asked
        ) as change:
            answer = self._made(op, mapping, command)
            moved = answer["moved"]
            change.before = [{"shard": r["shard"], "checkpoint": r["before"]} for r in moved]
            change.after = [{"shard": r["shard"], "checkpoint": r["after"]} for r in moved]
            if op == "skip":
                change.detail = {"dropped": answer["skipped"]}
        return answer

    def _made(self, op: str, mapping: str, command: Mapping[str, Any]) -> dict[str, Any]:
        rows: list[dict[str, Any]] = json.loads(self._runtime.checkpoints(mapping))
        document: dict[str, Any] = {"op": op, "mapping": mapping}
        if op == "import":
            document["rows"] = _imported(command.get("document"), mapping, rows)
        else:
            document["shard"] = _known(command.get("shard"), mapping, rows)
        if op == "set":
            document["position"] = parse_position(str(command.get("position")))
        answer: dict[str, Any] = json.loads(
            self._runtime.move_checkpoints(json.dumps(document).encode())
        )
        return answer


def parse_position(text: str) -> Any:
    """Read a position: TRIM_HORIZON, LATEST, SHARD_END, a sequence number, or a moment."""
    if text in _WORDS:
        return _WORDS[text]
    if text == "LATEST":
        return {"AtTimestamp": int(time.time() * 1000)}
    if text.isascii() and text.isdigit():
        return {"After": {"sequence": text, "sub": None}}
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{text!r} is no position",
            code="PS102",
            path="POSITION",
            hint="write TRIM_HORIZON, LATEST, SHARD_END, a sequence number (reading goes on behind "
            "it), or a moment like 2026-01-31T12:00:00Z",
        ) from None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return {"AtTimestamp": int(moment.timestamp() * 1000)}


def exported(mapping: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Write the document that `import` reads."""
    kept = [{"shard": row["shard"], "checkpoint": row["checkpoint"]} for row in rows]
    moment = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "format": FORMAT,
        "version": VERSION,
        "mapping": mapping,
        "exported": moment,
        "rows": kept,
    }


def _known(shard: Any, mapping: str, rows: list[dict[str, Any]]) -> str:
    if not rows:
        raise MappingNotFound(
            f"nothing is saved for mapping {mapping}",
            hint="the plan that penstock run prints shows ids in brackets",
        )
    known = [row["shard"] for row in rows]
    if shard not in known:
        raise ConfigurationError(
            f"mapping {mapping} knows no shard {shard!r}",
            path="SHARD",
            hint="its shards: " + ", ".join(known[:20]) + (", …" if len(known) > 20 else ""),
        )
    return str(shard)


def _imported(document: Any, mapping: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _refused("it is not a document that penstock checkpoint export wrote")
    if document.get("version") != VERSION:
        raise _refused(
            f"it is of version {document.get('version')!r}, and this penstock reads {VERSION}",
            hint="export it again with this version",
        )
    _only(document, _MEMBERS, "the document")
    wanted = document.get("rows")
    if not isinstance(wanted, list) or not wanted:
        raise _refused("it has no rows")
    if not rows and document.get("mapping") != mapping:
        raise MappingNotFound(
            f"nothing is saved for mapping {mapping}, and the document is of mapping "
            f"{document.get('mapping')}",
            hint="start the mapping once, or name the mapping that was exported",
        )
    streams = {row["shard"]: row["checkpoint"]["incarnation"] for row in rows}
    seen: set[str] = set()
    for row in wanted:
        _check_row(row, streams)
        if row["shard"] in seen:
            raise _refused(f"it has shard {row['shard']} twice")
        seen.add(row["shard"])
    return wanted


def _check_row(row: Any, streams: dict[str, Any]) -> None:
    if not isinstance(row, dict) or not isinstance(row.get("shard"), str):
        raise _refused("a row without a shard")
    _only(row, _ROW, "a row")
    checkpoint = row.get("checkpoint")
    if not isinstance(checkpoint, dict):
        raise _refused(f"shard {row['shard']} has no checkpoint")
    _only(checkpoint, _CHECKPOINT, f"the checkpoint of shard {row['shard']}")
    if not streams:
        return
    if row["shard"] not in streams:
        raise _refused(f"the mapping knows no shard {row['shard']}: it is of another stream")
    here, there = streams[row["shard"]], checkpoint.get("incarnation")
    if here is not None and there is not None and here != there:
        raise _refused(
            f"shard {row['shard']} is of a stream that was created at another moment: it is of "
            "another stream"
        )


def _only(document: dict[str, Any], members: frozenset[str], what: str) -> None:
    unknown = sorted(document.keys() - members)
    if unknown:
        raise _refused(f"{what} has members that nobody knows: {', '.join(unknown)}")


def _refused(reason: str, hint: str | None = None) -> ConfigurationError:
    return ConfigurationError(
        f"the document cannot be imported: {reason}", path="document", hint=hint
    )

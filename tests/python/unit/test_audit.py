"""What the audit trail holds, and what it does when it cannot hold anything."""

from __future__ import annotations

import json
import logging
import stat
from pathlib import Path

import pytest

from penstock.audit import FILE, Asker, Audit, local_asker
from penstock.errors import CheckpointError, ConfigurationError

ASKER = Asker(actor="token:ops", address="127.0.0.1:4000")


def test_change_is_recorded_when_asked_and_when_done(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audit = Audit(tmp_path)
    with (
        caplog.at_level(logging.INFO, "penstock.audit"),
        audit.changing("checkpoint.set", ASKER, mapping="m", asked={"shard": "s"}) as change,
    ):
        change.before, change.after = 1, 2
    asked, done = audit.entries()
    assert (asked["outcome"], done["outcome"]) == ("asked", "done")
    assert asked["id"] == done["id"]
    assert (done["before"], done["after"], done["mapping"]) == (1, 2, "m")
    assert (done["actor"], done["address"]) == ("token:ops", "127.0.0.1:4000")
    assert [json.loads(record.getMessage()) for record in caplog.records] == [asked, done]
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_refused_change_is_recorded_with_its_code(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    with pytest.raises(ConfigurationError), audit.changing("checkpoint.set", ASKER):
        raise ConfigurationError("no such place", code="PS103", path="POSITION")
    *_, refused = audit.entries()
    assert (refused["outcome"], refused["error"]["code"]) == ("refused", "PS103")


def test_change_in_one_step_is_one_entry(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    audit.record("mapping.delete", ASKER, mapping="m", before={"State": "Enabled"})
    (entry,) = audit.entries()
    assert (entry["action"], entry["outcome"]) == ("mapping.delete", "done")


def test_change_that_cannot_be_recorded_is_not_made(tmp_path: Path) -> None:
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere")
    made = False
    with (
        pytest.raises(CheckpointError, match="cannot be recorded") as raised,
        Audit(tmp_path).changing("checkpoint.set", ASKER),
    ):
        made = True
    assert not made
    assert raised.value.code == "PS304"
    assert not (tmp_path / "elsewhere").exists()


def test_entry_after_one_that_a_crash_cut_short_stands_on_its_own_line(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"version":1,"ti')
    audit = Audit(tmp_path)
    audit.record("mapping.create", local_asker())
    (entry,) = audit.entries()
    assert entry["action"] == "mapping.create"
    assert entry["actor"].startswith("user:")

"""Tests that what is written from the tables, for people and for machines, says what they say."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_of_options_is_up_to_date() -> None:
    script = runpy.run_path(str(ROOT / "scripts/options-page"))
    page = (ROOT / "docs/mapping-options.md").read_text(encoding="utf-8")
    assert script["text"]() == page, "run scripts/options-page"


def test_the_description_for_machines_is_up_to_date() -> None:
    script = runpy.run_path(str(ROOT / "scripts/api-description"))
    kept = (ROOT / "docs/mapping-api.json").read_text(encoding="utf-8")
    assert script["text"]() == kept, "run scripts/api-description"

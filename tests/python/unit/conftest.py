"""Puts the fake in the place of the extension's runtime."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock import _bridge
from tests.python.unit.fake_penstock import FakeRuntime


@pytest.fixture
def fake_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeRuntime]]:
    """Give the class that stands for `_bridge.Runtime`; `made` lists what was started."""
    FakeRuntime.made.clear()
    monkeypatch.setattr(_bridge, "Runtime", FakeRuntime)
    yield FakeRuntime
    for runtime in FakeRuntime.made:
        runtime.close(0)

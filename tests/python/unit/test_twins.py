"""Tests mappings that turn out to be one: of one source and one function, whatever their names."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.access import Access, Resolved
from penstock.app import App
from penstock.errors import MappingConflict
from penstock.mappings.model import Mapping
from penstock.options import Origin
from penstock.settings import make_settings
from tests.python.unit.fake_penstock import FakeRuntime

pytestmark = pytest.mark.usefixtures("fake_runtime")

START: Any = {"starting_position": "TRIM_HORIZON", "retry_attempts": 0}


def noted(event: Any, context: Any) -> None:
    """Do nothing."""


def test_two_mappings_of_one_source_and_function_are_a_conflict() -> None:
    app = App(state=":memory:", streams={"orders": 1})
    handler = app.function(name="orders")(noted)
    app.on("stream:orders", **START)(handler)
    app.on("stream:orders", **START)(handler)
    with pytest.raises(MappingConflict, match="mapped to orders twice") as caught:
        app.run()
    assert "test_twins.py" in (caught.value.hint or "")
    assert FakeRuntime.made == [], "nothing was started"


def test_two_names_of_one_source_are_a_conflict_that_names_both_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arn = "arn:aws:kinesis:us-east-2:123456789012:stream/orders"
    found = Resolved(arn=arn, region="us-east-2", access="a", open_shards=1)
    monkeypatch.setattr(Access, "resolve", lambda *_, **__: found)
    app = App(state=":memory:")
    app.on("kinesis:orders", **START)(app.function(name="orders")(noted))
    declared = Origin(what="[[mappings]] in penstock.toml, number 1")
    app.override(Mapping(arn, "orders", origin=declared, **START))
    with pytest.raises(MappingConflict, match="kinesis:orders is mapped to orders twice") as caught:
        app.run()
    assert caught.value.where == str(declared)
    hint = caught.value.hint or ""
    assert "test_twins.py" in hint
    assert "which calls the source kinesis:orders" in hint
    assert "call it the same in both" in hint
    assert FakeRuntime.made == [], "nothing was started"
    # As the hint says: under one name the declared one goes before that of code.
    app = App(state=":memory:")
    app.on(arn, **START)(app.function(name="orders")(noted))
    app.override(Mapping(arn, "orders", origin=declared, batch_size=7, **START))
    assert [each.batch_size for each in app.mappings] == [7]


@pytest.mark.parametrize(
    ("chosen", "source", "account"),
    [
        ({}, "arn:aws:kinesis:us-east-2:123456789012:stream/orders", "123456789012"),
        ({"account": "210987654321"}, "arn:aws:sqs:us-east-2:123456789012:q", "210987654321"),
        ({}, "arn:aws:penstock:::stream/orders", "000000000000"),
        ({}, None, "000000000000"),
    ],
)
def test_a_function_is_in_the_account_that_was_chosen_or_in_its_sources(
    chosen: dict[str, Any], source: str | None, account: str
) -> None:
    assert make_settings(state=":memory:", **chosen).account_of(source) == account

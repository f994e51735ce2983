"""Tests which handlers are taken, which are refused, and what a function carries."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from penstock.app import App
from penstock.errors import ConfigurationError, MappingConflict
from penstock.handlers import check_handler, make_function

START: Any = {"starting_position": "TRIM_HORIZON"}


def plain(event: Any, context: Any) -> None:
    """Do nothing."""


async def coroutine(event: Any, context: Any) -> None:
    """Do nothing later."""


def many(*args: Any) -> None:
    """Take anything."""


class Callable:
    """Can be called, and has methods that can."""

    def __call__(self, event: Any, context: Any) -> None:
        """Do nothing."""

    def method(self, event: Any, context: Any) -> None:
        """Do nothing."""

    async def later(self, event: Any, context: Any) -> None:
        """Do nothing later."""


class AsyncCallable:
    """Can be called, and is awaited."""

    async def __call__(self, event: Any, context: Any) -> None:
        """Do nothing later."""


def three(event: Any, context: Any, more: Any) -> None:
    """Want too much."""


def generator(event: Any, context: Any) -> Any:
    yield event


async def async_generator(event: Any, context: Any) -> Any:
    yield event


@pytest.mark.parametrize(
    ("handler", "pool"),
    [
        (plain, "threads"),
        (coroutine, "aio"),
        (many, "threads"),
        (Callable(), "threads"),
        (Callable().method, "threads"),
        (Callable().later, "aio"),
        (AsyncCallable(), "aio"),
        (functools.partial(three, more=1), "threads"),
        (functools.partial(coroutine), "aio"),
        (lambda event, context: None, "threads"),
        (dict.get, "threads"),
    ],
)
def test_the_pool_follows_from_the_kind_of_function(handler: Any, pool: str) -> None:
    assert check_handler(handler) == pool


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        (None, "not a function"),
        ("app.handler", "not a function"),
        (Callable, "the class Callable"),
        (three, "cannot be called with"),
        (lambda event: None, "cannot be called with"),
        (generator, "generator"),
        (async_generator, "generator"),
    ],
)
def test_misuse_is_refused_with_the_handlers_name(handler: Any, says: str) -> None:
    app = App()
    with pytest.raises(ConfigurationError, match=says) as caught:
        app.on("stream:orders", **START)(handler)
    assert caught.value.code == "PS108"
    assert "test_handlers.py" in (caught.value.where or "")
    assert app.mappings == ()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("name", "a b"),
        ("name", ""),
        ("memory_size", 64),
        ("memory_size", "512"),
        ("version", "latest"),
        ("role_arn", "me"),
        ("timeout", "16m"),
        ("timeout", 0),
        ("timeout", "soon"),
    ],
)
def test_settings_of_a_function_are_checked(setting: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        App().function(**{setting: value})(plain)
    assert caught.value.path == setting


def test_a_function_has_an_arn_like_lambdas() -> None:
    function = make_function(plain, name="orders", version=7)
    assert function.arn("eu-west-1", "123456789012") == (
        "arn:aws:lambda:eu-west-1:123456789012:function:orders:7"
    )


def test_decorators_give_the_handler_back_and_can_be_stacked_either_way() -> None:
    app = App()
    assert app.on("stream:a", **START)(app.function(name="first")(plain)) is plain
    assert app.function(name="second")(app.on("stream:b", **START)(coroutine)) is coroutine
    engine = app.engine()
    assert sorted(engine._functions) == ["first", "second"]


def test_one_name_for_two_functions_is_a_conflict() -> None:
    app = App()
    app.on("stream:a", **START)(app.function(name="same")(plain))
    app.on("stream:b", **START)(app.function(name="same")(many))
    with pytest.raises(MappingConflict, match="both called same"):
        app.engine()


def test_a_function_is_described_once() -> None:
    app = App()
    app.function(name="one")(plain)
    with pytest.raises(MappingConflict):
        app.function(name="two")(plain)


def test_an_app_without_mappings_does_not_run() -> None:
    with pytest.raises(ConfigurationError) as caught:
        App().run()
    assert caught.value.code == "PS116"

"""Tests the variables of Lambda that change with every invocation."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from penstock.context import Context, Delivery
from penstock.handlers import Function
from penstock.workers.environment import TRACE, LambdaEnvironment


class _Allocated(ctypes.Structure):
    """What mallinfo2(3) gives."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "free",
            "small",
            "mapped",
            "mapped_bytes",
            "was",
            "small_bytes",
            "used_bytes",
            "free_bytes",
            "top_bytes",
        ]
    ]


CHILD = [sys.executable, "-S", "-c", f"import os; print(os.environ.get({TRACE!r}))"]


def test_trace_ids_differ_for_python_and_for_child_processes() -> None:
    with_ids = []
    environment = _environment()
    environment.install()
    try:
        for _ in range(2):
            environment.enter(_context())
            with_ids.append((os.environ[TRACE], _seen_by_a_child()))
    finally:
        environment.remove()
    assert all(ours == childs for ours, childs in with_ids)
    assert len(set(with_ids)) == 2
    assert TRACE not in os.environ
    assert _seen_by_a_child() == "None"


def test_a_variable_of_the_users_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACE, "mine")
    environment = _environment()
    environment.install()
    environment.enter(_context())
    environment.remove()
    assert (os.environ[TRACE], _seen_by_a_child()) == ("mine", "mine")


def test_trace_ids_keep_no_memory() -> None:
    environment = _environment()
    environment.install()
    try:
        environment.enter(_context())
        before = _allocated_bytes()
        for _ in range(50_000):
            environment.enter(_context())
        # A hundred bytes for each would be five megabytes.
        assert _allocated_bytes() - before < 1_000_000
    finally:
        environment.remove()


def _environment() -> LambdaEnvironment:
    return LambdaEnvironment([Function(name="orders", handler=print, pool="threads")], "stream")


def _context() -> Context:
    return Context(
        aws_request_id="id",
        function_name="orders",
        function_version="$LATEST",
        invoked_function_arn="arn",
        memory_size=128,
        log_stream_name="stream",
        remaining_ms=lambda: 1_000,
        penstock=Delivery(mapping="", source="", shard="", lane=0, attempt=1, fence=0),
    )


def _seen_by_a_child() -> str:
    return subprocess.run(CHILD, capture_output=True, text=True, check=True).stdout.strip()


def _allocated_bytes() -> int:
    """What the allocator has given out: resident memory comes in pages of two megabytes."""
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = _Allocated
    allocated = libc.mallinfo2()
    return int(allocated.used_bytes + allocated.mapped_bytes)

"""Finds a function again in another process: by module and name, never by its code.

Rules: what cannot be found there (a lambda, a local function, a function of a notebook) is refused
when it is registered, with the reason; a script that was started directly is run again under
another name, so that its `if __name__ == "__main__"` stays false.
"""

from __future__ import annotations

import functools
import importlib
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from penstock.errors import ConfigurationError

MAIN: Final = "__penstock_main__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where a function is: `name` in `module`, or in the script at `path`."""

    module: str
    name: str
    path: str | None = None

    def load(self) -> Any:
        """Import the module, or run the script, and give the function."""
        if self.path is None:
            found: Any = importlib.import_module(self.module)
        else:
            found = _script(self.path)
        for name in self.name.split("."):
            found = getattr(found, name)
        return found

    def __str__(self) -> str:
        return f"{self.path or self.module}:{self.name}"


def entry_of(function: object, *, where: str | None = None) -> Entry:
    """Give a function's entry, as far as its own names tell."""
    if isinstance(function, functools.partial):
        raise _refused("a functools.partial", "it has no name", where)
    name = getattr(function, "__qualname__", None)
    module = getattr(function, "__module__", None)
    if not isinstance(name, str) or not isinstance(module, str):
        raise _refused(repr(function), "it has no name", where)
    if "<lambda>" in name:
        raise _refused(f"the lambda {module}.{name}", "a lambda has no name", where)
    if "<locals>" in name:
        raise _refused(f"{module}.{name}", "it is local to another function", where)
    if module != "__main__":
        return Entry(module=module, name=name)
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name != "__main__":
        return Entry(module=spec.name, name=name)
    path = getattr(main, "__file__", None)
    if path is None or not Path(path).is_file():
        raise _refused(f"{module}.{name}", "it is of no file", where)
    return Entry(module=module, name=name, path=str(Path(path).absolute()))


def check_found(function: object, entry: Entry, *, where: str | None = None) -> None:
    """Refuse a function that its name does not lead to any more."""
    found: Any = sys.modules.get(getattr(function, "__module__", entry.module))
    for name in entry.name.split("."):
        found = getattr(found, name, None)
    if found is None:
        raise _refused(str(entry), "its module does not have it under that name", where)
    if found is not function and not callable(found):
        raise _refused(str(entry), f"the name stands for a {type(found).__name__} there", where)


def _script(path: str) -> Any:
    module = sys.modules.get(MAIN)
    if module is None:
        content = runpy.run_path(path, run_name=MAIN)
        module = sys.modules[MAIN] = ModuleType(MAIN)
        vars(module).update(content)
    return module


def _refused(what: str, reason: str, where: str | None) -> ConfigurationError:
    return ConfigurationError(
        f"{what} cannot run in a process of its own: {reason}, so a child cannot import it",
        code="PS117",
        path="function",
        where=where,
        hint='write it as a function of a module, or use pool="threads"',
    )

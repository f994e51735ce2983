"""Finds what `penstock run` is to run: an app, or one handler.

Rules: the current directory is importable, as with `python -m`; what goes wrong while the user's
module is loaded is told with the line that raised.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from typing import Any

from penstock.errors import ConfigurationError, PenstockError


def load_target(text: str) -> Any:
    """Give the object that `module:name` or `module.name` names."""
    if ":" in text:
        module_name, _, path = text.partition(":")
    else:
        module_name, _, path = text.rpartition(".")
    if not module_name or not path:
        raise ConfigurationError(
            f"{text!r} names nothing to run",
            code="PS109",
            path="target",
            hint="write module:app, or module.handler with --source",
        )
    found = _load_module(module_name)
    for name in path.split("."):
        if not hasattr(found, name):
            known = [n for n, v in vars(found).items() if callable(v) and not n.startswith("_")]
            raise ConfigurationError(
                f"{module_name} has no {path}",
                code="PS109",
                path="target",
                hint="it has " + ", ".join(known[:8]) if known else None,
            )
        found = getattr(found, name)
    return found


def _load_module(name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except PenstockError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise ConfigurationError(
                f"there is no module {name}",
                code="PS109",
                path="target",
                hint=f"run this where {name.split('.')[0]}.py is, or set PYTHONPATH",
            ) from None
        raise _broken(name, error) from error
    except Exception as error:
        raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> ConfigurationError:
    frames = traceback.extract_tb(error.__traceback__)
    last = next((f for f in reversed(frames) if "importlib" not in f.filename), None)
    return ConfigurationError(
        f"{name} cannot be imported: {type(error).__name__}: {error}",
        code="PS109",
        path="target",
        where=f"{last.filename}:{last.lineno}" if last else None,
        hint=f"try python -c 'import {name}'",
    )

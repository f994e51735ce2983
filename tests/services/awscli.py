"""The stock `aws` command line, pinned, in an environment of its own."""

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from tests.services import packages
from tests.services.environment import REGION, clean_environment

VERSION = "1.46.3"
_WITHIN_S = 60


def aws(
    url: str, *arguments: str, region: str = REGION, environment: Mapping[str, str] | None = None
) -> Any:
    """Runs `aws lambda …` against an endpoint; returns the answer, or raises with what it said."""
    done = run(url, *arguments, region=region, environment=environment)
    if done.returncode != 0:
        raise AssertionError(f"aws {' '.join(arguments)} failed:\n{done.stderr}")
    return json.loads(done.stdout) if done.stdout.strip() else None


def run(
    url: str, *arguments: str, region: str = REGION, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `aws lambda …` against an endpoint, whatever becomes of it."""
    command = [*program(), "lambda", *arguments, "--endpoint-url", url, "--region", region]
    return subprocess.run(
        [*command, "--output", "json"],
        check=False,
        env=clean_environment() | {"AWS_PAGER": ""} | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_WITHIN_S,
    )


def program() -> list[str]:
    """Returns the command that starts `aws`, installing it when needed."""
    python = packages.python_environment(f"awscli-{VERSION}", (f"awscli=={VERSION}",))
    # Not by its script: that names the folder in which the installation was made.
    return [str(python), "-m", "awscli"]

"""Asks AWS's event-ruler whether events match patterns.

The library comes through Maven; the program that calls it is compiled where the test runs.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.services.environment import USER_ENVIRONMENT
from tests.services.packages import maven_libraries

RULER: Final = "2.1.0"
COMPILE_WITHIN_S: Final = 120
ANSWER_WITHIN_S: Final = 600


def missing_tools() -> list[str]:
    """Name the programs that the oracle needs and that are not there."""
    return [tool for tool in ("java", "javac", "mvn") if shutil.which(tool) is None]


class Oracle:
    """Runs event-ruler on pairs of a pattern and an event."""

    def __init__(self, scratch: Path) -> None:
        """Compile the program into a folder."""
        library = maven_libraries("software.amazon.event.ruler", "event-ruler", RULER)
        self._classpath = f"{library}{os.sep}*{os.pathsep}{scratch}"
        source = Path(__file__).with_name("Oracle.java")
        command = ["javac", "-cp", self._classpath, "-d", str(scratch), str(source)]
        _run(command, COMPILE_WITHIN_S)

    def answers(
        self,
        pairs: Iterable[tuple[str, str]],
        *,
        indexed: bool = True,
        complexity: int | None = None,
    ) -> list[str]:
        """Give "match", "no", "pattern: REASON" or "event: REASON" for each pair.

        Without `indexed`, events are matched as before version 2.0, more slowly. Patterns of more
        than `complexity` are refused.
        """
        lines = [
            json.dumps({"p": pattern, "e": event, "i": indexed, "c": complexity})
            for pattern, event in pairs
        ]
        answers = _run(
            ["java", "-XX:+UseSerialGC", "-Xss64m", "-cp", self._classpath, "Oracle"],
            ANSWER_WITHIN_S,
            "\n".join(lines) + "\n",
        ).split("\n")[:-1]
        assert len(answers) == len(lines), answers[-1:]
        return answers


def _run(command: list[str], within_s: float, text: str = "") -> str:
    done = subprocess.run(
        command,
        check=False,
        env=USER_ENVIRONMENT,
        input=text,
        capture_output=True,
        encoding="utf-8",
        timeout=within_s,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout

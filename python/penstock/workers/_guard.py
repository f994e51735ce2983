"""Runs beside the parent of child processes, and kills what they started when that is gone.

Rules: the standard library alone, so that it is small; nothing is killed while the parent lives;
the signals that end the parent end nothing here, or nobody would be left to clean up.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from typing import Final

_LOOK_SECONDS: Final = 0.25  # where the system cannot tell of the parent's end


def main() -> None:
    """Read groups from the standard input, and kill those that are left at the parent's end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for group in left_by(int(sys.argv[1])):
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)


def left_by(parent: int) -> set[int]:
    """Wait for the parent's end; give the groups that were told as `+N` and not as `-N` since."""
    groups: set[int] = set()
    begun = b""
    end = _end_of(parent)
    while True:
        waited = [0] if end is None else [0, end]
        ready = select.select(waited, [], [], _LOOK_SECONDS if end is None else None)[0]
        if 0 in ready:
            piece = os.read(0, 65_536)
            if not piece:
                return groups
            *lines, begun = (begun + piece).split(b"\n")
            for line in lines:
                number = int(line[1:])
                (groups.add if line[:1] == b"+" else groups.discard)(number)
        elif end in ready or os.getppid() != parent:
            # A copy of the parent, forked, may hold our input open for ever.
            return groups


def _end_of(parent: int) -> int | None:
    """Give a descriptor that is readable once the parent has ended, where there is such a thing."""
    try:
        end = os.pidfd_open(parent)
    except (AttributeError, OSError):
        return None
    if os.getppid() == parent:
        return end
    os.close(end)  # it had ended before, and the number may be another's
    return None


if __name__ == "__main__":
    main()

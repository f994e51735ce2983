"""Names what both sides of the control socket must agree on; importing it loads no server."""

from __future__ import annotations

from typing import Final

HEADER: Final = "x-penstock-request"
HOST: Final = "penstock"

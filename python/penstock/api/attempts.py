"""Slows down those who try tokens and signatures that are wrong.

Rules: each address has a number of failures at once, and gets one back a second; while it has none
left it is refused unheard; right credentials cost nothing; what is remembered has a bound.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

FAILURES_MAX: Final = 30
BACK_PER_SECOND: Final = 1.0
_ADDRESSES_MAX: Final = 10_000
# Whoever has one address of IPv6 has 2^64 of them.
_ONE_NETWORK: Final = 64


class Attempts:
    """The failures of each address, as far as they are not forgiven."""

    def __init__(
        self, most: int = FAILURES_MAX, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._clock = clock
        self._failures: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Give for how many seconds an address is not heard; 0 if it is."""
        return max(0.0, self._left(_network(address)) + 1 - self._most) / BACK_PER_SECOND

    def failed(self, address: str) -> None:
        """Count a failure."""
        network = _network(address)
        self._failures[network] = (self._left(network) + 1, self._clock())
        self._failures.move_to_end(network)
        # The one that failed longest ago is forgiven most already.
        if len(self._failures) > _ADDRESSES_MAX:
            self._failures.popitem(last=False)

    def _left(self, network: str) -> float:
        count, when = self._failures.get(network, (0.0, 0.0))
        return max(0.0, count - (self._clock() - when) * BACK_PER_SECOND)


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, _ONE_NETWORK), strict=False))
    return str(found)

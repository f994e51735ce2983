"""Makes and reads markers: where in a list the next page begins.

Rules: a marker is good in the list, and in the state directory, that it was given out for; any
other text is refused.
"""

from __future__ import annotations

import base64
import binascii

from penstock.errors import Refusal
from penstock.refusals import invalid


def make_marker(identity: str, what: str, place: str) -> str:
    """Give the marker of a place in the list `what` of a store."""
    return base64.urlsafe_b64encode(f"{identity}:{what}:{place}".encode()).decode()


def read_marker(identity: str, what: str, marker: str) -> str:
    """Give the place that a marker stands for."""
    try:
        # Strictly, or letters that are in no marker would be read over.
        text = base64.b64decode(marker.encode(), altchars=b"-_", validate=True).decode()
        found_identity, found_what, place = text.split(":", 2)
    except (ValueError, binascii.Error):
        raise no_such_marker() from None
    if (found_identity, found_what) != (identity, what):
        raise no_such_marker()
    return place


def no_such_marker() -> Refusal:
    """Refuse a marker from elsewhere."""
    return invalid("The marker is not one that this service has given out.")

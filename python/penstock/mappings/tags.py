"""Checks the tags of a mapping: how many, and which keys are AWS's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from penstock.refusals import invalid

TAGS_MAX: Final = 50


def check_tags(there: Mapping[str, str], added: Mapping[str, str]) -> None:
    """Refuse tags that may not be added to those that are there."""
    if any(key.lower().startswith("aws:") for key in added):
        raise invalid('Tag keys may not begin with "aws:", which is reserved.')
    if len({*there, *added}) > TAGS_MAX:
        raise invalid(f"A mapping may have at most {TAGS_MAX} tags.")

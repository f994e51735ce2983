"""What one look has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from penstock.errors import PenstockError


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was looked at, whether it is good, and what to do when it is not."""

    subject: str
    good: bool
    said: str
    code: str | None = None
    hint: str | None = None

    def document(self) -> dict[str, Any]:
        """Give the finding as data."""
        shown = {"subject": self.subject, "ok": self.good, "said": self.said}
        return shown | {k: v for k in ("code", "hint") if (v := getattr(self, k)) is not None}


def failed(subject: str, error: PenstockError, hint: str | None = None) -> Finding:
    """Give what an error has found."""
    return Finding(
        subject=subject, good=False, said=str(error), code=error.code, hint=hint or error.hint
    )

"""Writes what rounds have found as rows: a figure, its rounds, what it has to be, a verdict.

Rules: the figure is the median over the rounds of something taken inside each; a row that falls
short says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benches.load import rounds
from benches.load.rounds import Result

HEAD = ("| line | median | rounds | must be | |", "|---|---|---|---|---|")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure of each round, and its bounds, if it has any."""

    name: str
    of: Callable[[dict[str, Result]], float]
    least: float | None = None
    most: float | None = None

    def line(self, found: Sequence[dict[str, Result]]) -> str:
        """Give the row in Markdown."""
        figure = rounds.median(found, self.of)
        cells = [self.name, _number(figure), rounds.spread(found, self.of), *self._judged(figure)]
        return f"| {' | '.join(cells)} |"

    def _judged(self, figure: float) -> tuple[str, str]:
        bounds = [f"≥ {self.least:.3g}"] if self.least is not None else []
        bounds += [f"≤ {self.most:.3g}"] if self.most is not None else []
        if not bounds:
            return "—", "—"
        short = self.least is not None and figure < self.least
        over = self.most is not None and figure > self.most
        return ", ".join(bounds), "**falls short**" if short or over else "holds"


def table(found: Sequence[dict[str, Result]], rows: Sequence[Row]) -> str:
    """Give the rows in Markdown, with their head."""
    return "\n".join([*HEAD, *(row.line(found) for row in rows)])


def _number(figure: float) -> str:
    return f"{figure:.3f}" if abs(figure) < 1 else f"{figure:.2f}"

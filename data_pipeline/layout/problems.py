"""What is wrong with a dataset, and where: problems gathered block by block, alike ones counted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Problem:
    """One rule that is broken.

    variable : its name, or "attribute <name>", or "" for the whole; what : the rule, in words; count : how many values
    break it, 0 where it is not about values; index : place of the first of them by dimension; value : that value.
    """

    variable: str
    what: str
    count: int = 0
    index: tuple[tuple[str, int], ...] = ()
    value: Any = None

    def __str__(self) -> str:
        text = f"{self.variable} {self.what}".strip()
        if not self.count:
            return text
        where = ", ".join(f"{dim} {place}" for dim, place in self.index)
        value = "" if self.value is None else f": {self.value}"
        return f"{text} ({self.count} time{'s' * (self.count > 1)}, first at {where}{value})"


class Findings:
    """Problems in the order they were first met, one for each variable and rule."""

    def __init__(self) -> None:
        self._problems: dict[tuple[str, str], Problem] = {}

    def add(self, variable: str, what: str) -> None:
        """A rule about a variable as a whole."""
        self._problems.setdefault((variable, what), Problem(variable, what))

    def mark(
        self,
        variable: str,
        what: str,
        wrong: np.ndarray,
        values: np.ndarray,
        dims: Sequence[str],
        start: Sequence[int] | None = None,
    ) -> None:
        """Values of a block that break a rule. wrong : mask like `values`; start : where the block begins."""
        count = int(np.count_nonzero(wrong))
        if not count:
            return
        place = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        offset = start or (0,) * wrong.ndim
        index = tuple((str(dim), int(p) + o) for dim, p, o in zip(dims, place, offset, strict=True))
        told = _plain(values[place])
        self._count(Problem(variable, what, count, index, told))

    def join(self, later: "Findings") -> None:
        """Those of a later block."""
        for problem in later:
            if problem.count:
                self._count(problem)
            else:
                self.add(problem.variable, problem.what)

    def _count(self, problem: Problem) -> None:
        rule = problem.variable, problem.what
        earlier = self._problems.get(rule)
        self._problems[rule] = replace(earlier, count=earlier.count + problem.count) if earlier else problem

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._problems.values())

    def __bool__(self) -> bool:
        return bool(self._problems)


def _plain(value: Any) -> Any:
    """A number or a time as it reads best."""
    if isinstance(value, np.datetime64):
        return "no time" if np.isnat(value) else str(value.astype("datetime64[us]"))
    return f"{value:g}" if isinstance(value, (float, np.floating)) else value.item()

"""What the log of an archive says: files, commits, and the state that commits add up to."""

import datetime as dt
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

# Years whose every day can be counted in nanoseconds, as times of a store are.
YEARS = range(1678, 2262)


def _a_day(text: str) -> str:
    day = dt.date.fromisoformat(text)
    if day.year not in YEARS or day.isoformat() != text:
        raise ValueError(f"{text} is no day that a store can hold")
    return text


def _ascending(piece: tuple[str, int, int]) -> tuple[str, int, int]:
    if piece[1] >= piece[2]:
        raise ValueError("a piece of a part begins before it ends")
    return piece


# What a log says becomes paths and sizes: a foreign one may say anything.
Row = Annotated[int, Field(ge=0, lt=2**62)]
Part = Annotated[str, StringConstraints(pattern=r"^[0-9]{8,18}/(points|repeats)-[0-9]{4,18}$")]
Piece = Annotated[tuple[Part, Row, Row], AfterValidator(_ascending)]
"""Part, e.g. "00000012/points-0000", and its rows start..stop."""
Day = Annotated[str, AfterValidator(_a_day)]
Column = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=200)]


class FileEntry(BaseModel):
    """One product file. sources: name -> value in the column `source`; days as YYYY-MM-DD; details: as ingested."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    sha256: str
    bytes: int
    details: dict[str, JsonValue] = {}
    sources: dict[str, int]
    points: int = 0
    first_day: Day | None = None
    last_day: Day | None = None


class Commit(BaseModel):
    """What one append changed.

    files: those added, and those replaced (their name was there before). points, repeats: every day that was written
    and where its rows are now, None where none are left. units: of each column of the parts but time and source.
    notes: what the ingestion assumed, converted or screened.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal[1] = 1
    number: int
    time: AwareDatetime
    product: str
    files: list[FileEntry]
    replaced: list[str]
    points: dict[Day, Piece | None]
    repeats: dict[Day, Piece | None]
    units: dict[Column, str]
    notes: list[str]

    def summary(self) -> str:
        """One line for people."""
        rows = sum(entry.points for entry in self.files)
        replaced = f" ({len(self.replaced)} replaced)" if self.replaced else ""
        return f"{self.product}, {len(self.files)} files{replaced}, {rows} points, {len(self.points)} days written"


class State(BaseModel):
    """An archive as of a commit (number 0: before the first).

    files: by name. sources: name -> number, of every source there ever was. digests: sha256 of every content ever taken
    -> its commit. since: column -> the commit that brought it; older parts lack it.
    """

    model_config = ConfigDict(extra="forbid")

    layout: Literal[1] = 1
    number: int = 0
    time: AwareDatetime | None = None
    products: list[str] = []
    files: dict[str, FileEntry] = {}
    sources: dict[str, int] = {}
    digests: dict[str, int] = {}
    points: dict[Day, Piece] = {}
    repeats: dict[Day, Piece] = {}
    units: dict[Column, str] = {}
    since: dict[Column, int] = {}
    history: list[str] = []

    def add(self, commit: Commit) -> None:
        """Become the state after `commit`."""
        self.number, self.time = commit.number, commit.time
        self.products = sorted({*self.products, commit.product})
        for entry in commit.files:
            self.files[entry.file] = entry
            self.sources |= entry.sources
        self.digests |= {entry.sha256: commit.number for entry in commit.files}
        for held, written in ((self.points, commit.points), (self.repeats, commit.repeats)):
            held |= {day: piece for day, piece in written.items() if piece is not None}
            for day in [day for day, piece in written.items() if piece is None]:
                held.pop(day, None)
        self.since = {**dict.fromkeys(commit.units, commit.number), **self.since}
        self.units = {**self.units, **commit.units}
        self.history += [f"{commit.time:%Y-%m-%dT%H:%M:%SZ} commit {commit.number}: {commit.summary()}", *commit.notes]

"""What the values of a flag mean, in the words of the file: `flag_values`, `flag_masks` and `flag_meanings` of CF."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

GOOD, BAD, NEITHER = "good", "bad", "neither"
_GOOD = "good ok okay nominal valid ocean sea water clear passed pass accepted acceptable best correct"
# A word of these beats a good one: sea ice is no sea.
_CONDEMNING = """
bad poor worst low suspect suspected suspicious doubtful dubious questionable invalid unusable wrong corrupt corrupted
erroneous error fail failed failure rejected edited degraded spike outlier missing contaminated contamination saturated
reject spurious noisy anomalous unreliable implausible impossible defective spikes outliers errors nodata fill fillvalue
land continent continental inland coastline lake river vegetation salted ice seaice snow rain rainy cloud clouds cloudy
"""
_GOOD_WORDS, _BAD_WORDS = set(_GOOD.split()), set(_CONDEMNING.split())
_DENIALS = {"no", "not", "non", "without", "outside"}
# What is bad to be denied without being good: no_data, do_not_use, out_of_range, outside_limits.
_WANTED = {
    "data",
    "measurement",
    "measurements",
    "fix",
    "value",
    "values",
    "observation",
    "observations",
    "use",
    "usable",
}
_BOUNDS = {"range", "limit", "limits", "bounds"}
# "0 good", "0: good", "0 = open ocean": what long names say where the attributes of CF are missing.
_IN_WORDS = re.compile(r"(?<![\w.])(\d{1,3})\s*(?:=|:|is)?\s*((?:(?:open|probably|very)[ _])?[a-z]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Meanings:
    """The verdicts of a flag.

    values: verdict of each value. bits: of each pair of mask and masked value. others_are_bad: the file names its good
    values alone. Without any the flag says nothing. Meanings without values are numbered from zero.
    """

    values: Mapping[float, str]
    bits: Mapping[tuple[int, int], str] = field(default_factory=dict)
    others_are_bad: bool = False

    @property
    def judges(self) -> bool:
        """Whether some value is bad."""
        return self.others_are_bad or BAD in {*self.values.values(), *self.bits.values()}

    def bad(self, held: Any) -> Any:
        """Where the values of the flag (numpy or dask) are called bad; a missing or undeclared one is not."""
        known = held == held
        bad = ~known & known  # nowhere, and lazy as `held` is
        if self.others_are_bad:
            bad = known
            for value in self.values:
                bad = bad & (held != value)
        for value, verdict in self.values.items():
            if verdict == BAD:
                bad = bad | (held == value)
        if self.bits:
            number = np.where(known, held, 0).astype(np.int64)
            for (mask, value), verdict in self.bits.items():
                if verdict == BAD:
                    bad = bad | (known & ((number & mask) == value))
        return bad


def meanings_of(attrs: Mapping[str, Any]) -> Meanings:
    """What a flag says of itself in its attributes; nothing where values and meanings do not fit together."""
    words = _words(attrs.get("flag_meanings"))
    values, masks = _numbers(attrs.get("flag_values")), _numbers(attrs.get("flag_masks"))
    text = str(attrs.get("flag_values"))
    if len(words) > 1 and re.fullmatch(r"\d+", text) and len(text) == len(words):
        values = [float(digit) for digit in text]  # characters, which are read as one text
    verdicts = [verdict(word) for word in words]
    if not words:
        return _in_words(attrs)
    if len(masks) == len(words) == len(values):
        pairs = {(int(mask), int(value)): v for mask, value, v in zip(masks, values, verdicts, strict=True) if mask}
        return Meanings({}, pairs)
    if len(masks) == len(words) and not values:
        return Meanings({}, _of_masks([int(mask) for mask in masks], verdicts))
    if len(values) == len(words) and not masks:
        return Meanings(dict(zip(values, verdicts, strict=True)))
    if not values and not masks:
        return Meanings(dict(zip(map(float, range(len(words))), verdicts, strict=True)))
    return Meanings({})


def verdict(meaning: str) -> str:
    """GOOD, BAD or NEITHER: what one meaning says of a value, e.g. "no_sea_ice", "open_ocean", "probably_bad_data"."""
    tokens = [token for token in re.split(r"[^a-z]+", meaning.lower()) if token]
    said, denied, place = [], [], 0
    while place < len(tokens):
        token, left = tokens[place], tokens[place + 1 :]
        if token == "free" and left[:1] not in (["of"], ["from"]):  # ice_free denies what stands before it
            denied.append([said.pop()] if said else [])
            place += 1
        elif token in ("outside", "out") and _BOUNDS.intersection(left[:3]):
            return BAD
        elif token in _DENIALS or token == "free":
            scope = _scope(left)
            denied.append(left[:scope])
            place += 1 + scope
        else:
            said.append(token)
            place += 1
    if _BAD_WORDS.intersection(said):
        return BAD
    spared = [words for words in denied if _BAD_WORDS.intersection(words)]
    lacking = [words for words in denied if words not in spared and (_GOOD_WORDS | _WANTED).intersection(words)]
    if lacking:
        return BAD
    return GOOD if spared or _GOOD_WORDS.intersection(said) else NEITHER


def _scope(tokens: list[str]) -> int:
    """How many words a denial before them denies: up to the first bad ones and those that `or` joins to them."""
    for place, token in enumerate(tokens):
        after = tokens[place + 1 : place + 2]
        if token in _BAD_WORDS and not (after and (after[0] in _BAD_WORDS or after[0] in ("or", "nor"))):
            return place + 1
    return len(tokens)


def unknown_words(attrs: Mapping[str, Any]) -> list[str]:
    """Meanings of a flag that judges which say neither good nor bad: their values stay."""
    words = _words(attrs.get("flag_meanings"))
    return [word for word in words if verdict(word) == NEITHER] if meanings_of(attrs).judges else []


def _of_masks(masks: list[int], verdicts: list[str]) -> dict[tuple[int, int], str]:
    """A bit that is called bad condemns when it is set; where there is none, one that is called good when it is not."""
    if BAD in verdicts:
        return {(mask, mask): v for mask, v in zip(masks, verdicts, strict=True) if mask}
    return {(mask, 0): BAD for mask, v in zip(masks, verdicts, strict=True) if mask and v == GOOD}


def _in_words(attrs: Mapping[str, Any]) -> Meanings:
    """Verdicts of a long name like "quality (0 good, 1 bad)"; where it names good values alone, the others are bad."""
    text = " ".join(str(attrs.get(name, "")) for name in ("long_name", "comment", "description"))
    found = {float(number): verdict(word) for number, word in _IN_WORDS.findall(text)}
    named = {number: told for number, told in found.items() if told != NEITHER}
    return Meanings(named, others_are_bad=bool(named) and BAD not in named.values())


def _words(held: Any) -> list[str]:
    if held is None:
        return []
    if isinstance(held, (list, tuple, np.ndarray)):
        return [str(word) for word in np.asarray(held).ravel()]
    return [word for word in re.split(r"[\s,;]+", str(held)) if word]


def _numbers(held: Any) -> list[float]:
    """Numbers of an attribute, which some files write as text: "0b, 1b, 2b"."""
    if held is None:
        return []
    if isinstance(held, str):
        found = re.findall(r"[+-]?(?:0x[0-9a-f]+|\d+(?:\.\d+)?)", held, re.IGNORECASE)
        return [float(int(text, 16)) if "x" in text.lower() else float(text) for text in found]
    array = np.asarray(held)
    if array.dtype.kind in "US":
        return _numbers(" ".join(map(str, array.astype(str).ravel())))
    return [float(value) for value in array.ravel()] if array.dtype.kind in "fiub" else []

"""Flags: variables of a product that tell its good values from the bad ones.

The rules of known products come first. Beside them, and for every other file, the flags that say themselves what their
values mean are obeyed (`meanings`): a name alone decides nothing.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from data_pipeline.products.meanings import BAD, Meanings, meanings_of, unknown_words


@dataclass(frozen=True)
class Flag:
    """One variable that judges others.

    A value is dropped for `reason` where the flag is none of `good`, under `at_least` or over `at_most`; a missing
    flag judges nothing. of: the lower-case name of the variable that it judges, or "" for all of them.
    """

    variable: str
    reason: str
    good: tuple[float, ...] = ()
    at_least: float = -np.inf
    at_most: float = np.inf
    of: str = ""

    def bad(self, values: Any) -> Any:
        """Where `values` of the flag (numpy or dask) condemn."""
        bad = (values < self.at_least) | (values > self.at_most)
        if self.good:
            unknown = ~np.isfinite(values)
            for value in self.good:
                unknown = unknown | (values == value)
            bad = bad | ~unknown
        return bad


@dataclass(frozen=True)
class Declared:
    """Flags that declare what their values mean.

    They judge the variable that names them (`ancillary_variables`), is named in their own name or shares its standard
    name; with `everything` also all variables, when their names speak of quality, surface, ice or rain alone.
    """

    everything: bool = False


# Attribute of a variable that a product's arithmetic makes: the variable whose flags it inherits.
MADE_FROM = "dino_made_from"
OWN, ALL = Declared(), Declared(everything=True)
Rule = Flag | Declared

_OF_QUALITY = "quality qual qc qf flag flags status valid validity bitmask bits mask"
_OF_PLACE = """
surface surf type class classification land ocean sea water ice snow rain cloud open alt altimeter rad radiometer data
measurement edited editing nasa is ku hz 1hz 01 l2p level
"""
_QUALITY = set(_OF_QUALITY.split())
_OF_ALL = _QUALITY | set(_OF_PLACE.split())
# Of the time or the position of a value: POSITION_QC, TIME_QC.
_PLACE = {"position", "time", "longitude", "latitude", "lon", "lat", "juld"}
_SEA_LEVEL = {"ssh", "ssha", "sla", "adt", "range"}


def judge(ds: xr.Dataset, flags: tuple[Rule, ...], variable: str, dims: tuple[str, ...]) -> list[tuple[str, Any]]:
    """(reason, mask that broadcasts against `dims`) for each flag in `ds` that judges `variable`, lazy as `ds` is.

    Where a file declares the very value bad that a product's rule takes for good, the file is right.
    """
    by_name = {str(name).lower(): held for name, held in ds.variables.items()}
    checks = []
    judged = {name.lower() for name in (variable, *_origin(ds, variable))}
    told = {flag.variable for flag in flags if isinstance(flag, Flag)}
    for flag in flags:
        if isinstance(flag, Declared):
            for name, said in _declared(ds, variable, flag.everything).items():
                if name.lower() not in told:
                    checks += _check(f"condemned by {name}", said, ds.variables[name], dims)
            continue
        held = by_name.get(flag.variable)
        if held is None or (flag.of and flag.of not in judged):
            continue
        said = meanings_of(held.attrs)
        contradicted = any(said.values.get(value) == BAD for value in flag.good)
        checks += _check(flag.reason, said if contradicted else flag, held, dims)
    return checks


def silent_flags(ds: xr.Dataset, flags: tuple[Rule, ...], variable: str) -> list[str]:
    """Names of variables that look like flags of `variable` but do not say what their values mean, and have no rule."""
    told = {flag.variable for flag in flags if isinstance(flag, Flag)}
    everything = any(isinstance(flag, Declared) and flag.everything for flag in flags)
    return [
        name
        for name in _flags_of(ds, variable, everything)
        if name.lower() not in told and not meanings_of(ds.variables[name].attrs).judges
    ]


def unknown_meanings(ds: xr.Dataset, flags: tuple[Rule, ...], variable: str) -> dict[str, list[str]]:
    """Words of the flags that judge `variable` by what they declare, which say neither good nor bad, by flag."""
    told = {flag.variable for flag in flags if isinstance(flag, Flag)}
    everything = any(isinstance(flag, Declared) and flag.everything for flag in flags)
    names = [name for name in _flags_of(ds, variable, everything) if name.lower() not in told]
    found = {name: unknown_words(ds.variables[name].attrs) for name in names}
    return {name: words for name, words in found.items() if words}


def beside(ds: xr.Dataset, flags: tuple[Rule, ...], variable: str, dims: tuple[str, ...]) -> list[str]:
    """Names of the flags of `variable` that lie along further dimensions, and so judge nothing."""
    everything = any(isinstance(flag, Declared) and flag.everything for flag in flags)
    held = {name: ds.variables[name] for name in _flags_of(ds, variable, everything)}
    return [
        name
        for name, flag in held.items()
        if any(dim not in dims and flag.sizes[dim] > 1 for dim in flag.dims) and meanings_of(flag.attrs).judges
    ]


def notes_on_flags(ds: xr.Dataset, flags: tuple[Rule, ...], variables: list[str], dims: tuple[str, ...]) -> list[str]:
    """What the flags of a file say that is not obeyed: nothing at all, unknown words, along other dimensions."""
    notes = []
    for variable in variables:
        notes += [
            f"{name} does not say what its values mean (flag_values, flag_meanings) and judges nothing"
            for name in silent_flags(ds, flags, variable)
        ]
        for name, words in unknown_meanings(ds, flags, variable).items():
            notes.append(f"{name} says {', '.join(words)}, which is neither good nor bad: such values stay")
        notes += [
            f"{name} lies along other dimensions and judges nothing" for name in beside(ds, flags, variable, dims)
        ]
    return list(dict.fromkeys(notes))


def _check(reason: str, rule: Flag | Meanings, held: xr.Variable, dims: tuple[str, ...]) -> list[tuple[str, Any]]:
    if held.dtype.kind not in "fiub":
        return []
    held = held.squeeze([dim for dim in held.dims if dim not in dims and held.sizes[dim] == 1])
    if not set(held.dims) <= set(dims):
        return []
    absent = [dim for dim in dims if dim not in held.dims]
    return [(reason, rule.bad(held.set_dims([*absent, *held.dims]).transpose(*dims).data))]


def _declared(ds: xr.Dataset, variable: str, everything: bool) -> dict[str, Meanings]:
    """Flags that judge `variable`, by name, with what they say."""
    said = {name: meanings_of(ds.variables[name].attrs) for name in _flags_of(ds, variable, everything)}
    return {name: meanings for name, meanings in said.items() if meanings.judges}


def _origin(ds: xr.Dataset, variable: str) -> list[str]:
    origin = str(ds[variable].attrs.get(MADE_FROM, ""))
    return [origin] if origin in ds.variables else []


def _flags_of(ds: xr.Dataset, variable: str, everything: bool) -> list[str]:
    """Names of the variables that look like flags of `variable`, or of what it was made from."""
    inherited = [name for origin in _origin(ds, variable) for name in _flags_of(ds, origin, everything)]
    attrs = ds[variable].attrs
    named = set(re.split(r"[\s,]+", f"{attrs.get('ancillary_variables', '')} {attrs.get('quality_flag', '')}"))
    standard = str(attrs.get("standard_name", ""))
    found = []
    for name, held in ds.variables.items():
        name = str(name)
        if name == variable or name in ds.indexes or held.dtype.kind not in "fiub":
            continue
        tokens = _tokens(name)
        own = bool(_QUALITY & set(tokens)) and [t for t in tokens if t not in _QUALITY] == _tokens(variable)
        if standard and str(held.attrs.get("standard_name", "")) in (
            f"{standard} status_flag",
            f"{standard} quality_flag",
        ):
            own = True
        placed = bool(_QUALITY & set(tokens)) and set(tokens) - _QUALITY and set(tokens) - _QUALITY <= _PLACE
        general = placed or (everything and _speaks_of_all(tokens, held, _tokens(variable)))
        if own or name in named or general:
            found.append(name)
    return list(dict.fromkeys([*found, *inherited]))


def _speaks_of_all(tokens: list[str], held: xr.Variable, variable: list[str]) -> bool:
    """Whether a flag judges every variable of its file; that of the range judges every sea level."""
    known = _OF_ALL | (_SEA_LEVEL if _SEA_LEVEL & set(variable) else set())
    flaglike = bool(_QUALITY & set(tokens)) or "flag_meanings" in held.attrs or meanings_of(held.attrs).judges
    return flaglike and set(tokens) <= known


def _tokens(name: str) -> list[str]:
    return [token for token in re.split(r"[^a-z0-9]+", name.lower()) if token]

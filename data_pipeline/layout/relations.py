"""Channels that are not one another: what each means, and how two are brought together."""

from collections.abc import Iterable

from data_pipeline.layout.channels import CHANNELS

_LESS_THEIR_MEAN = (
    "a model's ssh and adt differ by the mean of the basin and the tides that ssh may hold: take both less their own "
    "mean over the same period"
)
_SKIN = "sst is of the skin or of a foundation depth, temperature of a model's first level; they differ by degrees"
_GEOSTROPHIC = "is the geostrophic part of {}, without the wind's; it follows from sea level"
_WIND = "+ the wind-driven part, which altimetry does not see"
_PAIRS = {
    ("sla", "adt"): "adt = sla + mean dynamic topography (`mdt` of the product, or a grid of its own)",
    ("adt", "sla"): "sla = adt - mean dynamic topography (`mdt` of the product, or a grid of its own)",
    ("ssh", "adt"): _LESS_THEIR_MEAN,
    ("adt", "ssh"): _LESS_THEIR_MEAN,
    ("ssh", "sla"): "sla = ssh - mean sea surface of the same model or product over its reference period",
    ("sla", "ssh"): "ssh = sla + mean sea surface of the product (`mean_sea_surface`)",
    ("sst", "sst_anomaly"): "sst_anomaly = sst - the climatology that the product is an anomaly of",
    ("sst_anomaly", "sst"): "sst = sst_anomaly + the climatology that the product is an anomaly of",
    ("temperature", "sst"): _SKIN,
    ("sst", "temperature"): _SKIN,
    ("u", "ugos"): f"ugos {_GEOSTROPHIC.format('u')}",
    ("ugos", "u"): f"u = ugos {_WIND}",
    ("v", "vgos"): f"vgos {_GEOSTROPHIC.format('v')}",
    ("vgos", "v"): f"v = vgos {_WIND}",
}


def described(names: Iterable[str]) -> str:
    """Channels with what they mean, e.g. `sla (sea level anomaly)`."""
    return ", ".join(f"{name} ({CHANNELS[name].long_name})" if name in CHANNELS else name for name in names)


def together(held: Iterable[str], wanted: Iterable[str]) -> str:
    """How channels that are held become those that are wanted, for an error message: a sentence a pair that is related.

    Of channels that are not related it says that one cannot stand for the other.
    """
    known = list(held)
    said = [f"{_PAIRS[pair]}" for name in wanted for other in known if (pair := (other, name)) in _PAIRS]
    return "; ".join(said) or "they are other quantities, none of which can stand for another"


def lacking(where: str, held: Iterable[str], wanted: Iterable[str], missing: Iterable[str]) -> str:
    """An error message: what came, what was wanted, how they are brought together. A new name changes no quantity."""
    held, wanted, missing = list(held), list(wanted), list(missing)
    others = "" if len(missing) == len(wanted) else f" beside {', '.join(n for n in wanted if n not in missing)}"
    return (
        f"{where} holds {described(held) or 'no channel'} where {described(missing)} is wanted{others}; "
        f"{together(held, missing)}; add what is missing, take a model of what there is (data.channels), or lay a run "
        "of tiles over it (dino relocate --channels)"
    )

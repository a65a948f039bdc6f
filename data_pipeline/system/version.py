"""The version of what is installed."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

DISTRIBUTION = "dino-ocean"


def version() -> str:
    """The version of the installed distribution, which holds both packages; "0+unknown" of sources on a path alone."""
    try:
        return installed(DISTRIBUTION)
    except PackageNotFoundError:
        return "0+unknown"

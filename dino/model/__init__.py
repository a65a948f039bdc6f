"""What is learned and can be published, and where it lies."""

from .latent import LEADS, LatentModel, Start
from .ocean import Ocean
from .spec import ChannelSpec, LatentSpec, OceanSpec

__all__ = ["LEADS", "ChannelSpec", "LatentModel", "LatentSpec", "Ocean", "OceanSpec", "Start"]

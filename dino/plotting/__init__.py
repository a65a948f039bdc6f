"""Figures of forecasts, scores, training and observations; every function writes one file and returns its path."""

from dino.plotting.animation import animate
from dino.plotting.curves import plot_sequences, plot_skill, plot_training
from dino.plotting.maps import plot_maps
from dino.plotting.outlook import Seen, plot_outlook
from dino.plotting.points import plot_observations, plot_tracks
from dino.plotting.spread import plot_spread

__all__ = [
    "Seen",
    "animate",
    "plot_maps",
    "plot_observations",
    "plot_outlook",
    "plot_sequences",
    "plot_skill",
    "plot_spread",
    "plot_tracks",
    "plot_training",
]

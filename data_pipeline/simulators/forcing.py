"""Forcing of Zebra's Burgers and heat: F(x, t) = sum of A sin(w t + 2 pi l x / L + phase), one for each environment."""

import numpy as np

from data_pipeline.simulators.environments import Parameters, Random

AMPLITUDE, FREQUENCY, HIGHEST = 0.5, 0.4, 3


def draw_forcing(random: Random, waves: int) -> dict[str, float]:
    """Amplitudes, frequencies, wave numbers and phases of a forcing, numbered, as parameters of an environment."""
    drawn = {
        "amplitude": random.uniform(-AMPLITUDE, AMPLITUDE, waves),
        "frequency": random.uniform(-FREQUENCY, FREQUENCY, waves),
        "wave": np.floor(random.uniform(1, HIGHEST + 1, waves)),
        "phase": random.uniform(0, 2 * np.pi, waves),
    }
    return {f"{name}_{number}": float(values[number]) for number in range(waves) for name, values in drawn.items()}


class Forcing:
    """The forcing of some trajectories; parameters: those that `draw_forcing` names, each (n,)."""

    def __init__(self, parameters: Parameters, waves: int) -> None:
        names = ("amplitude", "frequency", "wave", "phase")
        columns = (np.stack([parameters[f"{name}_{number}"] for number in range(waves)], 1) for name in names)
        self.amplitude, self.frequency, number, self.phase = columns
        self.of_wave = (number[:, :, None] == np.arange(1, HIGHEST + 1)).astype(float)  # (n, term, wave)

    def __call__(self, time: float, points: int, rows: np.ndarray) -> np.ndarray:
        """F (m, points) of some rows (m,) at a time."""
        turned = self.amplitude[rows] * np.exp(1j * (self.frequency[rows] * time + self.phase[rows]))
        return self._on_line(self._gathered(turned, rows), points)

    def response(self, damping: np.ndarray, times: np.ndarray, points: int) -> np.ndarray:
        """What it has made (n, time, points) of a field at rest whose waves 1 to HIGHEST decay by damping (n, wave).

        c' = -damping c + A exp(i (w t + phase)) is solved by
        c = A exp(i phase) (exp(i w t) - exp(-damping t)) / (i w + damping).
        """
        rate = np.einsum("ntl,nl->nt", self.of_wave, damping)[:, None]
        pace = 1j * self.frequency[:, None]
        after = times[:, None]
        grown = (np.exp(pace * after) - np.exp(-rate * after)) / (pace + rate)
        turned = (self.amplitude * np.exp(1j * self.phase))[:, None] * grown
        return self._on_line(np.einsum("nst,ntl->nsl", turned, self.of_wave), points)

    def _gathered(self, turned: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.einsum("nt,ntl->nl", turned, self.of_wave[rows])

    @staticmethod
    def _on_line(of_waves: np.ndarray, points: int) -> np.ndarray:
        """Im of the sum of waves exp(i l x) with complex amplitudes (..., wave)."""
        angle = 2 * np.pi * np.arange(1, HIGHEST + 1)[:, None] * np.arange(points) / points
        return np.real(of_waves) @ np.sin(angle) + np.imag(of_waves) @ np.cos(angle)

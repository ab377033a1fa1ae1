"""A job's figures as a pure function of (script, step), with the numbers written as Azure's service writes them."""

import hashlib
import math
import struct
from bisect import bisect_right

from sandbox.azure.openai.script import Curve, JobScript


def number(value: float) -> float | int:
    """Format as in the service's JSON: whole numbers have no decimal point (recorded: `"train_mean_token_accuracy": 1`)."""
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def text(value: float) -> str:
    """Format as in messages and CSV: the shortest digits that read back, exponents with a capital E (recorded: 3.8E-06)."""
    return repr(number(value)).replace("e", "E")


class Figures:
    """All metrics of one job."""

    def __init__(self, script: JobScript) -> None:
        self._script = script
        self._curves = {name: (_Sampled(curve, script, name)) for name, curve in script.measured.items()}

    @property
    def names(self) -> list[str]:
        """The metrics' names, in the script's order."""
        return list(self._curves)

    def at(self, step: int) -> dict[str, float]:
        """The metrics that have a value at `step` (from 1), by name."""
        return {name: curve.at(step) for name, curve in self._curves.items() if curve.has(step)}


def epoch_ends(script: JobScript) -> list[int]:
    """The steps that end an epoch, ascending; the last is the job's last step."""
    return [script.timeline.steps * i // script.epochs for i in range(1, script.epochs + 1)]


def _is_epoch_end(script: JobScript, step: int) -> bool:
    # Epoch i ends with step ⌊steps·i/epochs⌋: the step at which this count rises.
    steps, epochs = script.timeline.steps, script.epochs
    i = -(-step * epochs // steps)
    return steps * i // epochs == step


class _Sampled:
    """One curve with its noise, at the steps that carry it."""

    def __init__(self, curve: Curve, script: JobScript, name: str) -> None:
        self._curve = curve
        self._script = script
        self._seed = f"{script.id}\0{script.seed}\0{name}\0".encode()
        self._steps = sorted(curve.points or {})
        every = curve.every
        if every is None:
            every = "epoch" if name.startswith("full_valid") else 1
            every = script.validation_every if name.startswith("valid") else every
        self._every = every

    def has(self, step: int) -> bool:
        if self._every == "epoch":
            return _is_epoch_end(self._script, step)
        return step % self._every == 0

    def at(self, step: int) -> float:
        curve = self._curve
        if curve.points and step in curve.points:
            return curve.points[step]
        value = self._interpolated(step) if curve.points else self._shaped(step)
        if curve.levels:
            value = round(value * curve.levels) / curve.levels
        if curve.low is not None:
            value = max(value, curve.low)
        if curve.high is not None:
            value = min(value, curve.high)
        return _single(value)

    def _shaped(self, step: int) -> float:
        curve, last = self._curve, self._script.timeline.steps
        x = (step - 1) / (last - 1) if last > 1 else 1.0
        noise = curve.noise * self._gauss(step) if curve.noise else 0.0
        if curve.shape == "decay":
            return float(curve.start * (curve.end / curve.start) ** x * math.exp(noise))
        if curve.shape == "saturate":
            x = (1 - math.exp(-4 * x)) / (1 - math.exp(-4))
        return curve.start + (curve.end - curve.start) * x + noise

    def _interpolated(self, step: int) -> float:
        points = self._curve.points or {}
        i = bisect_right(self._steps, step)
        if i in (0, len(self._steps)):
            return points[self._steps[max(i - 1, 0)]]
        left, right = self._steps[i - 1], self._steps[i]
        return points[left] + (points[right] - points[left]) * (step - left) / (right - left)

    def _gauss(self, step: int) -> float:
        # A hash instead of a random generator, so the noise of a step can be computed without the steps before it.
        raw = hashlib.blake2b(self._seed + step.to_bytes(8, "big"), digest_size=16).digest()
        u = (int.from_bytes(raw[:8], "big") + 1) / (2**64 + 1)
        v = int.from_bytes(raw[8:], "big") / 2**64
        return math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)


def _single(value: float) -> float:
    """Rounded to single precision: the service's figures are float32 numbers printed as float64."""
    return float(struct.unpack("f", struct.pack("f", value))[0])

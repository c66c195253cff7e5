"""How far an attack gets, beside a guess of somebody who knows the same but has not seen the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

__all__ = ["BOUND", "Finding", "above_median", "auc", "read"]

BOUND = 0.02
"""An attack may be so much better than a guess where nothing is to be learnt."""


@dataclass(frozen=True)
class Finding:
    """One attack on one asset. `guess` and `success` are in `metric`; higher is better for the attacker.

    `row` is that of `docs/threat-model.md`. `control` is what the same attack makes of a view that leaks.
    """

    row: int
    asset: str
    adversary: str
    mode: str
    attack: str
    metric: str
    rows: int
    guess: float
    success: float
    control: float | None = None

    @property
    def advantage(self) -> float:
        """What the view is worth to the attacker."""
        return self.success - self.guess

    def to_json(self) -> dict[str, Any]:
        """As `benchmarks/results/attacks.json` has it."""
        digits = {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items()}
        return digits | {"advantage": round(self.advantage, 4)}


def auc(positive: Any, score: Any) -> float:
    """The share of pairs, one positive and one not, that `score` puts in the right order; ties count half."""
    # Imported here: it takes a second, which each process that collects the tests would wait.
    from scipy.stats import rankdata

    positive = np.asarray(positive).astype(bool)
    ranks = rankdata(score)
    n = int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (positive.size - n)))


def above_median(values: Any) -> Any:
    """A number of each row as one bit: attacks on numbers are judged by the pairs that they order."""
    return np.asarray(values) > np.median(values)


def read(channels: Sequence[Any], target: Any, seed: int = 0) -> float:
    """The AUC for a bit of each row that numbers in a view give, put together by who knows the bit for half the rows.

    Least squares on that half, over the numbers, and the cosine and sine of each as a share of its range, since shares
    wrap; judged on the other half. No attacker has as much. Shapes: channels (n,) each, target (n,).
    """
    rng = np.random.default_rng(seed)
    numbers = np.stack([np.asarray(c, np.float64) for c in channels], axis=1)
    low, high = numbers.min(axis=0), numbers.max(axis=0)
    share = (numbers - low) / np.where(high > low, high - low, 1.0)
    features = np.concatenate([share - 0.5, np.cos(2 * np.pi * share), np.sin(2 * np.pi * share)], axis=1)
    features = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    target = np.asarray(target).astype(np.float64)
    known = np.zeros(target.size, bool)
    known[rng.permutation(target.size)[: target.size // 2]] = True
    weights = np.linalg.lstsq(features[known], target[known], rcond=1e-9)[0]
    return auc(target[~known], features[~known] @ weights)

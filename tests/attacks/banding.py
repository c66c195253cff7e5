"""Rows 5 and 6, of a scorecard's scores: what totals of subjects give away, and what bands of them do.

The adversary is a bank that has had scores by the protocol of totals (`ScoreRequester`) or of bands (`BandsRequester`):
both are run, and it has what their roles return. Two attacks. *Solving for bins* (arXiv 2010.10152): it knows the
points of every bin of others' columns and how often each is, and finds the bins of a subject. *Extraction* (Tramer and
others, 2016): it knows the bins of the subjects that it asks for, all of its own clients, and finds the points.

Of bands it may choose the least that terms allow, 20 of ten points, where most totals are, and for each subject what it
adds to providers' points, so that edges are where its guess of the total is (`chosen`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from attacks.measures import Finding
from attacks.solving import BINS, found_bins

from fedcredit.crypto.elgamal import PrivateKey, Validity
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.crypto.zero_sum import Member, PairKey
from fedcredit.ids import PartyId
from fedcredit.protocols.score import (
    BandedCard,
    BandsProvider,
    BandsRequester,
    BandTerms,
    ScoreCard,
    ScoreProvider,
    ScoreRequester,
    ScoresAsked,
    ScoreTerms,
)
from fedcredit.transport.memory import run_network

__all__ = ["HOW", "Desk", "bins_from_scores", "card_from_scores", "sums_from_repeats"]

BANK, PROVIDERS = PartyId("bank"), (PartyId("tax"), PartyId("water"))
NOW, MODEL = 1_800_000_000, b"m" * 32
POINTS = 25
"""The most points of a bin, in either direction."""
OWN = 300
"""Of the bank's part, from 0 on."""

HOW = ("totals", "10 bands", "20 bands of 10 points", "20 bands of 10 points, chosen")


@dataclass
class Desk:
    """Two providers with `columns` columns each, and a bank that asks them. `asked` counts subjects."""

    columns: int
    seed: int = 0
    asked: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.rng, self.count = rng, 2 * self.columns
        self.tables = np.sort(rng.integers(-POINTS, POINTS + 1, (self.count, BINS)), axis=1)
        most = self.columns * POINTS
        self.card = ScoreCard(MODEL, -2 * most, OWN + 2 * most, 0, OWN)
        self.key = PrivateKey.generate(BANK, "scores", Validity(NOW - 1, NOW + 1), insecure_seeded(self.seed))
        self.pairs = {name: PairKey.generate(insecure_seeded(self.seed, name)) for name in (BANK, *PROVIDERS)}
        self.members = tuple(Member(name, self.pairs[name].public) for name in PROVIDERS)
        self.table = self.card.table()
        self.terms = ScoreTerms(
            MODEL,
            (-most, most),
            {self.key.public.fingerprint: self.key.public},
            {name: frozenset({pair.public}) for name, pair in self.pairs.items()},
        )

    @property
    def middle(self) -> int:
        """Where the bank puts what it adds, if it may choose: in the middle of its part."""
        return OWN // 2

    def draw(self, n: int) -> Any:
        """Bins of `n` more subjects: (columns of both, n)."""
        return self.rng.integers(0, BINS, (self.count, n))

    def bounds(self, how: str) -> tuple[int, ...]:
        """Bands over the whole range, or as narrow as terms allow where most totals are."""
        low, high = self.card.low, self.card.high
        if how == "10 bands":
            # Tenths of totals that are as often as others, as a bank that wants to decide would have them.
            spread = self.tables[np.arange(self.count)[:, None], self.draw(4000)].sum(axis=0) + self.rng.integers(
                0, OWN, 4000
            )
            return tuple(sorted({int(edge) for edge in np.quantile(spread, np.arange(1, 10) / 10)}))
        first = self.middle - 90
        return tuple(edge for edge in range(first, first + 190, 10) if low + 10 <= edge <= high - 9)

    def answers(self, codes: Any, own: Any, how: str) -> tuple[Any, Any]:
        """The least and the most that providers' points of each subject add up to, by a real request: (n,) each."""
        n = codes.shape[1]
        points = self.tables[np.arange(self.count)[:, None], codes]
        parts = [part.sum(axis=0) for part in np.split(points, 2)]
        names = np.array([b"9132%014d" % (self.asked + row) for row in range(n)], "S18").view(np.uint8).reshape(n, 18)
        self.asked += n
        asked = ScoresAsked("financing", NOW, names, np.zeros((2, n, 32), np.uint8), own)
        bank = insecure_seeded(self.asked, BANK)
        if how == "totals":
            requester = ScoreRequester(BANK, self.card, self.members, self.key, self.pairs[BANK], self.table)
            roles: dict[PartyId, Any] = {BANK: requester.steps(asked, bank)}
        else:
            banded = BandedCard.of(self.card, self.bounds(how))
            bander = BandsRequester(BANK, banded, self.members, self.key.public, self.pairs[BANK])
            roles = {BANK: bander.steps(asked, bank)}
        for name, part in zip(PROVIDERS, parts, strict=True):
            roles[name] = self._provider(name, part, how)
        result = run_network(roles, insecure_in_process=True).results[BANK]
        if how == "totals":
            return result.totals - own, result.totals - own
        edges = np.array(banded.bounds)
        return edges[result.bands] - own, edges[result.bands + 1] - 1 - own

    def _provider(self, name: PartyId, part: Any, how: str) -> Any:
        everybody, secret = np.ones(len(part), np.bool_), insecure_seeded(self.asked, name)
        keys = {self.pairs[name].public: self.pairs[name]}
        if how == "totals":
            role: Any = ScoreProvider(name, BANK, self.terms, keys)
        else:
            role = BandsProvider(name, BANK, self.terms, BandTerms((self.card.low, self.card.high)), keys)
        return role.steps(lambda _: True, lambda *_: (part, everybody), secret)


def bins_from_scores(n: int, columns: int, how: str, seed: int = 0) -> Finding:
    """The share of bins found exactly, of one answer about each of `n` subjects, over all columns of both providers."""
    desk = Desk(columns, seed)
    codes = desk.draw(n)
    y = np.zeros(n, np.bool_)
    # What providers' points add up to on average is what it knows: it puts an edge of the narrow bands there.
    expected = int(desk.tables.mean(axis=1).sum())
    chosen = np.full(n, np.clip(desk.middle - expected, 0, OWN))
    own = chosen if how.endswith("chosen") else desk.rng.integers(0, OWN + 1, n)
    low, high = desk.answers(codes, own, how)
    guess, found = (found_bins(codes, desk.tables, y, of) for of in (None, (low, high)))
    return Finding(
        5, "bins", "bank", f"scores, {how}, {columns} columns each of two providers", "solving scores for bins",
        "exact bin", n, guess, found,
    )  # fmt: skip


def sums_from_repeats(answers: int, how: str, n: int = 300, seed: int = 0) -> Finding:
    """The share of subjects whose providers' points are found exactly where providers answer so often about each.

    The bank moves an edge into the middle of what is left each time. The guess is the likeliest sum.
    """
    desk = Desk(5, seed)
    codes = desk.draw(n)
    sums = desk.tables[np.arange(desk.count)[:, None], codes].sum(axis=0)
    low, high = np.full(n, desk.tables.min(axis=1).sum()), np.full(n, desk.tables.max(axis=1).sum())
    for _ in range(answers):
        # Of the edges, the one that the bank's part can best move to where it is to be.
        moves = np.array(desk.bounds(how)) - ((low + high + 1) // 2)[:, None]
        own = moves[np.arange(n), np.abs(moves - desk.middle).argmin(axis=1)]
        least, most = desk.answers(codes, np.clip(own, 0, OWN), how)
        low, high = np.maximum(low, least), np.minimum(high, most)
    guess = float(np.unique(sums, return_counts=True)[1].max() / n)
    mode = f"scores, {how}, 5 columns each of two providers, {answers} answers about each subject"
    found = float((((low + high) // 2) == sums).mean())
    return Finding(5, "points of other parties", "bank", mode, "bisection", "exact sum", n, guess, found)


def card_from_scores(
    answers: int, columns: int, how: str, known: float = 1.0, seeds: range = range(3)
) -> list[Finding]:
    """How well points of all bins are known after so many answers about different subjects.

    `known`: how many of the subjects' bins it knows; of the others it believes any, and does not know of which. The
    share of entries that are found to a point, of each column less its mean, and the share of new subjects whose
    providers' points are found to within five. The guess has no answer, and takes each column's mean.
    """
    runs = np.mean([_extracted(Desk(columns, seed), answers, how, known) for seed in seeds], axis=0)
    mode = f"scores, {how}, {columns} columns each of two providers, {known:.0%} of bins known"
    attack = f"extraction by {answers} answers"
    return [
        Finding(6, asset, "bank", mode, attack, metric, answers, float(guess), float(found))
        for (asset, metric), (guess, found) in zip(
            (("points of bins", "found to a point"), ("points of a subject", "found to five points")), runs, strict=True
        )
    ]


def _extracted(desk: Desk, answers: int, how: str, known: float) -> list[tuple[float, float]]:
    """Guess and success of entries, and of new subjects."""
    chosen, step = how.endswith("chosen"), min(answers, 100)
    x, low, high = np.zeros((0, 1 + desk.count * BINS)), np.zeros(0), np.zeros(0)
    theta = np.zeros(1 + desk.count * BINS)
    for first in range(0, answers, step if chosen else answers):
        more = desk.draw(min(step, answers - first) if chosen else answers)
        n = more.shape[1]
        believed = _design(np.where(desk.rng.random(more.shape) < known, more, desk.draw(n)), known)
        own = desk.rng.integers(0, OWN + 1, n)
        if chosen and first:
            # An edge where the points are expected to be: each answer halves what is left.
            own = np.clip(np.rint(desk.middle - believed @ theta), 0, OWN).astype(np.int64)
        least, most = desk.answers(more, own, how)
        x, low, high = (np.concatenate(pair) for pair in ((x, believed), (low, least), (high, most)))
        theta = _fitted(x, low, high, theta)
    entries = theta[1:].reshape(desk.count, BINS)
    true, found = (table - table.mean(axis=1, keepdims=True) for table in (desk.tables, entries))
    others = desk.draw(2000)
    sums = desk.tables[np.arange(desk.count)[:, None], others].sum(axis=0)
    return [
        (float((np.abs(true) <= 1).mean()), float((np.abs(true - found) <= 1).mean())),
        (float((np.abs(sums - sums.mean()) <= 5).mean()), float((np.abs(_design(others) @ theta - sums) <= 5).mean())),
    ]


def _design(codes: Any, known: float = 1.0) -> Any:
    """One, and for each column how likely each bin is: (n, 1 + columns * bins)."""
    n = codes.shape[1]
    likely = known * (codes[:, :, None] == np.arange(BINS)) + (1 - known) / BINS
    return np.concatenate([np.ones((n, 1)), likely.transpose(1, 0, 2).reshape(n, -1)], axis=1)


def _fitted(x: Any, low: Any, high: Any, start: Any) -> Any:
    """Points whose sums are between the bounds: least squares on sums moved to the nearest bound, over and over.

    Where many fit, those towards the middle of all intervals. A little weight keeps what no answer tells at zero.
    """
    keep = 1e-3 * np.eye(x.shape[1])
    solve = np.linalg.solve(x.T @ x + keep, x.T)
    middle, half = (low + high) / 2, (high - low) / 2
    theta = solve @ middle if half.max(initial=0.0) == 0 else start
    for share in np.linspace(0.2, 1.0, 9) if half.max(initial=0.0) > 0 else ():
        for _ in range(150):
            fitted = x @ theta
            theta = solve @ np.clip(fitted, middle - share * half, middle + share * half)
    return theta

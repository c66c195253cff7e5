"""Encrypted scores of an additive model: a bank learns the total of each subject, and nobody anybody's part of it.

    A -> P    ScoreRequest, ScoreSubjects   which model, of whom, under which key, which providers together
    P -> A    ScorePart                     points under A's key, masked so that only the sum of all parts says anything

A is the bank, each P a provider with a part of the card. A sums, opens, and adds its own points. The platform has no
role: what it carries it cannot read, and nothing that it changes passes (`docs/protocols/score.md`).
"""

from __future__ import annotations

from fedcredit.protocols.score.binding import ScoreCard, consents_digest, request_hash, subjects_digest
from fedcredit.protocols.score.provider import ScoreAnswered, ScoreProvider, ScoreTerms
from fedcredit.protocols.score.requester import ScoreRequester, Scores, ScoresAsked

__all__ = [
    "ScoreAnswered",
    "ScoreCard",
    "ScoreProvider",
    "ScoreRequester",
    "ScoreTerms",
    "Scores",
    "ScoresAsked",
    "consents_digest",
    "request_hash",
    "subjects_digest",
]

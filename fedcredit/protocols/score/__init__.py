"""Encrypted scores of an additive model: a bank learns the total of each subject, and nobody anybody's part of it.

    A -> P    ScoreRequest, ScoreSubjects   which model, of whom, under which key, which providers together
    P -> A    ScorePart                     points under A's key, masked so that only the sum of all parts says anything

A is the bank, each P a provider with a part of the card. A sums, opens, and adds its own points. The platform has no
role: what it carries it cannot read, and nothing that it changes passes (`docs/protocols/score.md`).

Where A is to learn in which band a total is and never the total, the last provider Q has the table of bands, each at
the place of a masked total, and A looks one up without telling which (`docs/protocols/score_bands.md`):

    A -> P    ScoreRequest, ScoreSubjects, ScoreBands    and which bands
    P -> A    BandPart, but for Q                        points under masks of the providers
    A -> Q    BandChoices                                which place of each table, hidden
    Q -> A    BandTables                                 tables, hidden but for that place
"""

from __future__ import annotations

from fedcredit.protocols.score.bands import BandedCard, BandTerms, bands_hash
from fedcredit.protocols.score.bands_provider import BandsProvider
from fedcredit.protocols.score.bands_requester import NO_BAND, BandsRequester, ScoresBanded
from fedcredit.protocols.score.binding import ScoreCard, consents_digest, request_hash, subjects_digest
from fedcredit.protocols.score.provider import ScoreAnswered, ScoreProvider, ScoreTerms
from fedcredit.protocols.score.requester import ScoreRequester, Scores, ScoresAsked

__all__ = [
    "NO_BAND",
    "BandTerms",
    "BandedCard",
    "BandsProvider",
    "BandsRequester",
    "ScoreAnswered",
    "ScoreCard",
    "ScoreProvider",
    "ScoreRequester",
    "ScoreTerms",
    "Scores",
    "ScoresAsked",
    "ScoresBanded",
    "bands_hash",
    "consents_digest",
    "request_hash",
    "subjects_digest",
]

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

Scores of trees are asked for in the same way, of one provider after the other (`docs/protocols/score_trees.md`):

    A -> P    TreesVector                   the weights of leaves under A's key, less those that others ruled out
    P -> A    TreesPart                     what is left of them, sealed for the next one, or for A
"""

from __future__ import annotations

from fedcredit.protocols.score.bands import BandedCard, BandTerms, bands_hash
from fedcredit.protocols.score.bands_provider import BandsProvider
from fedcredit.protocols.score.bands_requester import NO_BAND, BandsRequester, ScoresBanded
from fedcredit.protocols.score.binding import ScoreCard, consents_digest, request_hash, subjects_digest
from fedcredit.protocols.score.leaf_map import LeafMap, OwnCut
from fedcredit.protocols.score.provider import ScoreAnswered, ScoreProvider, ScoreTerms
from fedcredit.protocols.score.requester import ScoreRequester, Scores, ScoresAsked
from fedcredit.protocols.score.trees import TreesModel
from fedcredit.protocols.score.trees_provider import TreesProvider, TreesTerms
from fedcredit.protocols.score.trees_requester import TreesAsked, TreesRequester, TreesScores

__all__ = [
    "NO_BAND",
    "BandTerms",
    "BandedCard",
    "BandsProvider",
    "BandsRequester",
    "LeafMap",
    "OwnCut",
    "ScoreAnswered",
    "ScoreCard",
    "ScoreProvider",
    "ScoreRequester",
    "ScoreTerms",
    "Scores",
    "ScoresAsked",
    "ScoresBanded",
    "TreesAsked",
    "TreesModel",
    "TreesProvider",
    "TreesRequester",
    "TreesScores",
    "TreesTerms",
    "bands_hash",
    "consents_digest",
    "request_hash",
    "subjects_digest",
]

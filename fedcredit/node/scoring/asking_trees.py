"""The bank's side of scores of boosted trees: the key and maps that it lends, what it asks, and what it makes of a sum.

The key for vectors is made for each session and never written down; slots are in an order by a secret of this party's
own, so that every session has the same map.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.binary import probability
from fedcredit.credit.points import PointScale
from fedcredit.crypto.elgamal import Validity
from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.crypto.rlwe_chain import Passage, SecretKey
from fedcredit.crypto.zero_sum import Member
from fedcredit.errors import Problem, RefusedError
from fedcredit.estimators.parts import LabelPart
from fedcredit.ids import PartyId
from fedcredit.kernels import digest
from fedcredit.node.own_secret import own_secret
from fedcredit.node.scoring.asking import Found, Rows
from fedcredit.node.scoring.own_keys import OwnScoreKeys
from fedcredit.node.scoring.sides import Cut, SidesOfTable
from fedcredit.node.scoring.subject_rows import SubjectRows
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.score import LeafMap, TreesAsked, TreesModel, TreesRequester
from fedcredit.wire.message import Message
from fedcredit.wire.score_trees import CONTENT_BYTES, MAX_ROWS, TreesKey, TreesMap, TreesPart
from fedcredit.wire.scoring import pack

__all__ = ["AskingTrees", "cuts_of", "leaf_map"]

Bools: TypeAlias = npt.NDArray[np.bool_]

SESSION_S: Final = 86_400
"""How long a key for vectors holds: longer than anybody asks in one session."""

_SCALE: Final = PointScale()
"""Trees have no scale of their own: points as a card has them unless it says otherwise."""


def leaf_map(folder: Path, part: LabelPart, manifest: bytes) -> LeafMap:
    """The slots of a version's trees. Raises: ConfigError (SECRET_INVALID), RefusedError (SCORE_KIND)."""
    key = digest.derive("fedcredit v1 leaf order", _order_key(folder) + manifest, digest.KEY_BYTES)
    try:
        return LeafMap.of(part.trees, part.foreign, len(part.parties) - 1, key)
    except ValueError:
        what, fix = "have no split of any department", "score it alone: nobody else has anything to say"
        raise RefusedError(Problem("SCORE_KIND", "trees", what, fix)) from None


def cuts_of(leaves: LeafMap) -> list[Cut]:
    """The bank's own splits, in the order in which its roles have them."""
    return [(cut.feature, cut.bin, cut.missing_left) for cut in leaves.cuts]


class AskingTrees:
    """Asks for scores of one version of trees. `members`: all providers, in the order of the model."""

    answers: frozenset[type[Message]] = frozenset({TreesPart})
    last: PartyId | None = None

    def __init__(
        self,
        me: PartyId,
        part: LabelPart,
        manifest: bytes,
        members: Sequence[Member],
        keys: OwnScoreKeys,
        leaves: LeafMap,
        now: int,
    ) -> None:
        """Raises: ConfigError (SCORE_RANGE, SCORE_PASSAGE) for trees that are too many or too large."""
        model = TreesModel(manifest, leaves, part.initial)
        validity = Validity(keys.word.begins, now + SESSION_S)
        key = SecretKey.generate(me, f"trees-{now}", validity, model.parameters, SystemRandomness())
        passage = Passage(model.parameters, len(members), len(leaves))
        self.max_rows = min(MAX_ROWS, passage.rows_within(CONTENT_BYTES))
        shown = TreesKey.of(key.public)
        self.lent = {
            PartyId(member.name): pack([shown, TreesMap.of(manifest, conditions)])
            for member, conditions in zip(members, leaves.conditions, strict=True)
        }
        self._role = TreesRequester(me, model, tuple(members), key, keys.pair)

    def steps(self, asked: Rows, table: SubjectRows | None) -> Steps[Found]:
        """See `Asking`."""
        sides = table.sides(asked.rows) if isinstance(table, SidesOfTable) else np.zeros((0, asked.n), np.bool_)
        wanted = TreesAsked(asked.purpose, asked.issued_at, asked.codes, asked.consents, sides)
        found = yield from self._role.steps(wanted, SystemRandomness())
        return Found(found.scored, _SCALE.score(found.raw), probability(found.raw), [()] * asked.n)


def _order_key(folder: Path) -> bytes:
    return own_secret(folder, "keys/leaf-order.key", fix="restore it, or publish versions of trees anew")

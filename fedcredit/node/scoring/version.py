"""A published version as the bank that asks for its scores has it: what all signed, its own part, its own table."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fedcredit.credit.bands import ScoreBands
from fedcredit.credit.points import PointScale
from fedcredit.crypto.zero_sum import Member
from fedcredit.errors import DataError, PeerError, PeerLost, Problem, RefusedError, UsageError
from fedcredit.estimators.parts import FeaturePart, LabelPart, part_from_bytes
from fedcredit.estimators.scorecard_part import CardPart
from fedcredit.governance.registry.documents import Manifest, Offer
from fedcredit.ids import PartyId
from fedcredit.node.own_store import store_url
from fedcredit.node.registry.counter import ModelCounter
from fedcredit.node.registry.parts import FOLDER
from fedcredit.node.registry.sheets import Sheet
from fedcredit.node.scoring.asking import Asking
from fedcredit.node.scoring.asking_bands import AskingBands
from fedcredit.node.scoring.asking_card import AskingCard
from fedcredit.node.scoring.asking_trees import AskingTrees, cuts_of, leaf_map
from fedcredit.node.scoring.beside import declared_table, resources_of
from fedcredit.node.scoring.own_keys import OwnScoreKeys
from fedcredit.node.scoring.points import read_points
from fedcredit.node.scoring.shown_words import show_words
from fedcredit.node.scoring.sides import read_sides
from fedcredit.node.scoring.subject_rows import SubjectRows
from fedcredit.node.store import Store
from fedcredit.runtime.config import PartyFile

__all__ = ["OwnVersion", "bands_of", "find_version", "own_points"]

_BANDS: Final = range(-6, 3)


@dataclass(frozen=True, slots=True)
class OwnVersion:
    """`providers`: all other parties of the version, in the order of its job. `part`: the own one, as it was approved.

    `bands`: in which of them a total falls.
    """

    number: int
    role: str
    manifest: bytes
    offer: Offer
    ranges: dict[PartyId, tuple[int, int]] = field(repr=False)
    part: CardPart | LabelPart = field(repr=False)
    bands: ScoreBands
    words: bytes = field(default=b"", repr=False)
    """What all parties have signed of their parts, as a provider is shown it."""

    only_bands: bool = False
    """Whether bands alone are asked for, and no total is learned."""

    @property
    def providers(self) -> tuple[PartyId, ...]:
        """Whose parts a score has besides the own one."""
        if isinstance(self.part, LabelPart):
            return self.part.parties[1:]  # the order in which its trees number them
        return tuple(party for party in self.offer.parties if party in self.ranges)

    def asking(self, folder: Path, members: Sequence[Member], keys: OwnScoreKeys, now: int) -> Asking:
        """How it is asked of these providers. Raises: ConfigError (SCORE_RANGE, SCORE_PASSAGE, SECRET_INVALID)."""
        me, part = keys.word.party, self.part
        if isinstance(part, CardPart) and self.only_bands:
            return AskingBands(me, part, self.manifest, members, self.ranges, keys, self.bands, self.words)
        if isinstance(part, CardPart):
            return AskingCard(me, part, self.manifest, members, self.ranges, keys)
        if self.only_bands:
            what, fix = "is of trees, of which there is no band alone", "ask for a card"
            raise RefusedError(Problem("SCORE_KIND", f"model {self.offer.name}", what, fix))
        if len(members) < len(self.providers):
            down = set(self.providers) - {member.name for member in members}
            raise PeerLost(", ".join(sorted(down)), "score", "is down, and scores of trees take all parties")
        return AskingTrees(me, part, self.manifest, members, keys, leaf_map(folder, part, self.manifest), now)


def bands_of(scale: PointScale, cutoffs: Sequence[float] = ()) -> ScoreBands:
    """Bands that are one `pdo` wide each, three above `base_score`; or those that `cutoffs` part. Raises: DataError."""
    return ScoreBands(tuple(cutoffs) or tuple(scale.base_score + scale.pdo * k for k in _BANDS))


async def find_version(
    config: PartyFile, name: str, number: int | None = None, cutoffs: Sequence[float] = ()
) -> OwnVersion:
    """A version by its number, or the champion, as this party's node knows it.

    Raises: UsageError (MODEL_UNKNOWN), RefusedError (MODEL_STATE), DataError (MODEL_PART_*), ConfigError (NODE_DOWN),
    PeerLost for a platform that is away: what others have signed of a version it has.
    """
    async with ModelCounter(config) as counter:
        if number is None:
            number = _champion(_heard(await counter.shown(name)), name)
        document = _heard(await counter.shown(name, number))
    return _version(config, document, name, number, cutoffs)


def own_points(config: PartyFile, version: OwnVersion) -> SubjectRows | None:
    """This party's own table as the version needs it; None where that takes no column of its.

    Raises: DataError with all that is wrong with the table; RefusedError (JOB_UNKNOWN, TABLE_UNKNOWN); ConfigError.
    """
    part = version.part
    cuts = [] if isinstance(part, CardPart) else cuts_of(leaf_map(config.folder, part, version.manifest))
    if not (part.columns if isinstance(part, CardPart) else cuts):
        return None
    store = Store.look(store_url(config))
    try:
        spec = declared_table(config, store, version.offer.job)
    finally:
        store.close()
    if isinstance(part, CardPart):
        return read_points(part, spec, resources_of(config))
    return read_sides(part.columns, cuts, spec, resources_of(config))


def _heard(document: dict[str, Any]) -> dict[str, Any]:
    """What the node answers, where its platform has told it."""
    if away := document.get("away"):
        raise PeerLost(PartyId(away), "score", "cannot be reached, and has the words of all parties on the version")
    return document


def _champion(document: dict[str, Any], name: str) -> int:
    for row in document["models"]:
        if row["name"] == name and row["role"] == "champion":
            return int(row["version"])
    what, fix = "has no version that counts", "fedcredit model list; --version N scores with a challenger"
    raise UsageError(Problem("MODEL_UNKNOWN", f"model {name[:32]}", what, fix))


def _version(
    config: PartyFile, document: dict[str, Any], name: str, number: int, cutoffs: Sequence[float]
) -> OwnVersion:
    where, own = f"model {name} {number}", document.get("own")
    if not own or not own["served"]:
        what = own["why_not"] if own else "is not approved by this party"
        raise RefusedError(Problem("MODEL_STATE", where, what, f"fedcredit model show {name} {number}"))
    if document["unbelieved"]:
        culprit = min(document["unbelieved"])
        raise PeerError(culprit, "score", "has not signed its word on the version", document["unbelieved"][culprit])
    sheet = Sheet.read(document, PartyId(config.trust.platform), name, number)
    manifest: Manifest = sheet.manifest
    assert manifest.digest is not None, "what is served is approved by all"
    data = (config.folder / FOLDER / f"{own['content']}.json").read_bytes()
    if hashlib.sha256(data).hexdigest() != own["content"]:
        raise DataError(Problem("MODEL_PART_DIFFERS", f"part of {where}", "is not what was approved", "approve again"))
    part = CardPart.from_bytes(data) if manifest.offer.kind == "scorecard" else part_from_bytes(data)
    if isinstance(part, FeaturePart):
        what, fix = "is the part of a department", "scores are asked for by the party that brought the label"
        raise RefusedError(Problem("NOT_LABEL_PARTY", where, what, fix))
    scale = part.scale if isinstance(part, CardPart) else PointScale()
    ranges = {party: (word.least or 0, word.most or 0) for party, word in manifest.words.items() if party != config.me}
    role = str(own["served"])
    return OwnVersion(
        number,
        role,
        manifest.digest,
        manifest.offer,
        ranges,
        part,
        bands_of(scale, cutoffs),
        show_words(sheet.words),
    )

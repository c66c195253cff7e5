"""A party's part of a published model: found in a job's result, compared with what the job left, kept to be served.

Parts lie in the node's folder as models/SHA256.json, each under the hash of its bytes, and never change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fedcredit.errors import ConfigError, DataError, Problem, RefusedError
from fedcredit.estimators.parts import LabelPart, part_from_bytes
from fedcredit.estimators.scorecard_part import MAX_BYTES, CardPart
from fedcredit.governance.registry.documents import CardFacts, Offer, TreeFacts, rounded_out
from fedcredit.ids import PartyId
from fedcredit.node.durable_files import replace_file, sync_folder
from fedcredit.node.specification import JobSpecification
from fedcredit.node.store import JobState, Store
from fedcredit.node.store.model_parts import OwnPart

__all__ = ["FOLDER", "FoundPart", "OwnParts", "part_problems"]

FOLDER: Final = "models"
_FILES: Final = {"scorecard": "scorecard.json", "gbdt": "model.json"}


@dataclass(frozen=True, slots=True)
class FoundPart:
    """A party's part as a job left it: its bytes, their SHA-256, what everybody may know of it, how far it reaches.

    `facts` is None where the part alone does not say: at the feature parties of trees. Units: `reach` in points.
    """

    data: bytes = field(repr=False)
    content: bytes
    facts: CardFacts | TreeFacts | None
    reach: tuple[int, int] | None


class OwnParts:
    """The parts of one party, below `folder`."""

    def __init__(self, me: PartyId, folder: Path, store: Store) -> None:
        self._me, self._folder, self._store = me, folder, store

    def offer_of(self, platform: PartyId, name: str, job: str, model: str) -> Offer:
        """An offer of a model of `job` under `name`, from what this party holds as the party that had the label.

        Raises: RefusedError (JOB_UNKNOWN, MODEL_UNKNOWN, MODEL_LAYOUT, NOT_LABEL_PARTY, MODEL_PART_DIFFERS), DataError.
        """
        specification = self._specification(job)
        kinds = {entry.name: entry.kind for entry in specification.models}
        if kinds.get(model) not in _FILES:
            what = f"has no model {model} that can be published"
            fix = f"one of: {', '.join(name for name, kind in kinds.items() if kind in _FILES) or 'none'}"
            raise RefusedError(Problem("MODEL_UNKNOWN", f"job {job}", what, fix))
        if specification.layout == "horizontal":
            what, fix = "is whole at each of its parties: there are no parts to score with", "score with it at home"
            raise RefusedError(Problem("MODEL_LAYOUT", f"{model} of job {job}", what, fix))
        if specification.layout == "mixed":
            what, fix = (
                "has labels of several banks: it cannot be published in this version",
                "train it with one of them",
            )
            raise RefusedError(Problem("MODEL_LAYOUT", f"{model} of job {job}", what, fix))
        if specification.label_party != self._me:
            what, fix = "did not bring the label", f"publish it at {specification.label_party}"
            raise RefusedError(Problem("NOT_LABEL_PARTY", f"{self._me} in job {job}", what, fix))
        kind = kinds[model]
        found = self._read(job, model, kind, specification)
        assert found.facts is not None, "the label party's part says what everybody may know"
        try:
            return Offer(
                platform=platform,
                publisher=self._me,
                name=name,
                kind=kind,
                model=model,
                job=job,
                specification=specification.hash,
                purpose=specification.job.purpose,
                parties=specification.data_parties,
                facts=found.facts,
            )
        except ValueError:
            what, fix = "is not a name for a model", "use a lower-case letter, then up to 31 of a-z 0-9 _ -"
            raise RefusedError(Problem("MODEL_NAME", name[:40], what, fix)) from None

    def of_offer(self, offer: Offer) -> FoundPart:
        """This party's part of what is offered, if it is that. Raises: RefusedError (JOB_UNKNOWN, OFFER_DIFFERS,
        MODEL_PART_DIFFERS, MODEL_PART_MISSING), DataError."""
        job = self._specification(offer.job)
        models = {(entry.name, entry.kind) for entry in job.models}
        due = (job.hash, job.job.purpose, job.data_parties, job.label_party, job.platform)
        said = (offer.specification, offer.purpose, offer.parties, offer.publisher, offer.platform)
        if due[0] != said[0]:
            what = f"is of a job with hash {said[0].hex()}, and the job here has {due[0].hex()}"
            raise RefusedError(Problem("OFFER_DIFFERS", f"offer of {offer.name}", what, "ask its publisher"))
        if said != due or (offer.model, offer.kind) not in models:
            what = "does not say of the job what this party has signed"
            raise RefusedError(Problem("OFFER_DIFFERS", f"offer of {offer.name}", what, "ask its publisher"))
        found = self._read(offer.job, offer.model, offer.kind, job)
        if found.facts not in (None, offer.facts):
            what = "says another scale, or other numbers, than this party's part"
            raise RefusedError(Problem("OFFER_DIFFERS", f"offer of {offer.name}", what, "ask its publisher"))
        return found

    def keep(self, found: FoundPart) -> None:
        """Keep a part under its hash, durably; what was damaged there is mended. Raises: ConfigError (STATE_UNKEPT)."""
        path = self._path(found.content)
        try:
            if not self._folder.joinpath(FOLDER).exists():
                self._folder.joinpath(FOLDER).mkdir(mode=0o700)
                sync_folder(self._folder)
            if not path.exists() or _hash_of(path) != found.content:
                replace_file(path, found.data, 0o400)
        except OSError as error:
            what = f"cannot be written: {error.strerror}"
            raise ConfigError(Problem("STATE_UNKEPT", str(path), what, "make room")) from None

    def kept(self, part: OwnPart) -> bytes:
        """The part that was approved, to be scored with. Raises: DataError (MODEL_PART_MISSING, MODEL_PART_DIFFERS)."""
        where, fix = f"part of {part.word.name} {part.word.version}", "approve the version again"
        try:
            data = _read_bounded(self._path(part.content))
        except OSError as error:
            what = f"cannot be read ({error.strerror})"
            raise DataError(Problem("MODEL_PART_MISSING", where, what, fix)) from None
        if (now := hashlib.sha256(data).digest()) != part.content:
            raise DataError(_differs(where, now, part.content, "was approved", fix))
        return data

    def _specification(self, job: str) -> JobSpecification:
        row = self._store.jobs.job(job)
        if row is None or row.specification is None or row.state is not JobState.SUCCEEDED:
            what = "is not a job that has succeeded here"
            raise RefusedError(Problem("JOB_UNKNOWN", f"job {job}", what, "fedcredit job list"))
        return JobSpecification.parse(row.specification)

    def _read(self, job: str, model: str, kind: str, specification: JobSpecification) -> FoundPart:
        name = f"model/{model}/{_FILES[kind]}"
        where = f"{job}/result/{name}"
        noted = {path: digest for path, digest, _ in self._store.results.files(job)}
        if name not in noted:
            what = "was not left by the job, as far as the store knows"
            raise RefusedError(Problem("MODEL_PART_MISSING", where, what, "run the job again"))
        fix = "bring the file back from a backup, or run the job again; `fedcredit node fsck` says what else is damaged"
        try:
            data = _read_bounded(self._folder / "jobs" / job / "result" / name)
        except OSError as error:
            what = f"cannot be read ({error.strerror}); the job left one with SHA-256 {noted[name].hex()}"
            raise RefusedError(Problem("MODEL_PART_MISSING", where, what, fix)) from None
        if (now := hashlib.sha256(data).digest()) != noted[name]:
            raise RefusedError(_differs(where, now, noted[name], "was left by the job", fix))
        if kind == "scorecard":
            return self._card(where, data, now, f"{specification.hash.hex()}/{model}", specification.label_party)
        return self._trees(where, data, now, specification)

    def _card(self, where: str, data: bytes, content: bytes, model: str, label: PartyId) -> FoundPart:
        part = CardPart.from_bytes(data)
        if (part.model, part.party, part.label_party) != (model, self._me, label):
            raise DataError(
                Problem("MODEL_INVALID", where, "is not this party's part of that model", "look at the job")
            )
        scale = part.scale
        facts = CardFacts(float(scale.base_score), float(scale.odds), float(scale.pdo), part.n_reasons)
        return FoundPart(data, content, facts, rounded_out(*part.point_range))

    def _trees(self, where: str, data: bytes, content: bytes, specification: JobSpecification) -> FoundPart:
        part, label = part_from_bytes(data), specification.label_party
        if isinstance(part, LabelPart):
            leaves = sum(tree.n_splits + 1 for tree in part.trees)
            fits, facts = self._me == label, TreeFacts(len(part.trees), leaves)
        else:
            fits, facts = self._me != label and part.label_party == label, None
        if not fits:
            raise DataError(
                Problem("MODEL_INVALID", where, "is not this party's part of that model", "look at the job")
            )
        return FoundPart(data, content, facts, None)

    def _path(self, content: bytes) -> Path:
        return self._folder / FOLDER / f"{content.hex()}.json"


def part_problems(store: Store, me: PartyId, folder: Path) -> Iterator[Problem]:
    """What is wrong with the parts that a party lets be scored with. Raises: FedcreditError (STATE_INVALID)."""
    parts = OwnParts(me, folder, store)
    for part in store.model_parts.all():
        if part.word.approves:
            try:
                parts.kept(part)
            except DataError as error:
                yield from error.problems


def _differs(where: str, now: bytes, due: bytes, since: str, fix: str) -> Problem:
    what = f"has SHA-256 {now.hex()}, and what {since} has {due.hex()}"
    return Problem("MODEL_PART_DIFFERS", where, what, fix)


def _read_bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _hash_of(path: Path) -> bytes:
    return hashlib.sha256(_read_bounded(path)).digest()

"""What all parties of a job agree on, byte for byte, before any of them starts work.

The platform proposes; every party checks the proposal against its own table and configuration and offers its part;
the platform puts the offers in, and each party signs the hash of the whole. The hash is the job's `ssid`: it stands in
every frame and in every key derivation, so parties that were told different things cannot talk to each other.

A table is committed to by a keyed hash of its fingerprint. The key stays with its owner, so the commitment binds the
party to its table and tells nobody else whether the table is one they know.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError, model_validator

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.statistics_params import StatisticsParams
from fedcredit.credit.woe import IvDisclosure
from fedcredit.errors import ConfigError, Problem, RefusedError
from fedcredit.governance.leakage import Disclosure, PublicJob, PublicModel, leakage_of
from fedcredit.governance.public_job import STATISTICS_SHOW
from fedcredit.ids import PartyId
from fedcredit.node.backends import backends_of
from fedcredit.node.canonical_json import canonical, parse_canonical
from fedcredit.protocols.intersect.choice import MODES, UNBALANCED, Choice, choose
from fedcredit.runtime.aggregate_file import MAX_MEMBERS, AggregateSection, check_noise, may_be_threshold
from fedcredit.runtime.config import MAIN_TABLE, IntersectSection, JobSection, SplitSection
from fedcredit.runtime.job_file import MAX_PARTIES
from fedcredit.runtime.model_file import Layout
from fedcredit.runtime.toml import Section

__all__ = [
    "FORMAT",
    "PROTOCOLS",
    "JobSpecification",
    "LeakageRow",
    "ModelEntry",
    "PartyEntry",
]

FORMAT = 1

PROTOCOLS: dict[str, int] = {
    "frame": 1,
    "intersect.ecdh": 1,
    "intersect.fast": 1,
    "intersect.size": 1,
    "intersect.unbalanced": 1,
    "groupsum.onehot": 1,
    "groupsum.paillier": 1,
    "groupsum.rlwe": 1,
    "aggregate": 1,
    "collectives": 1,
    "schema": 1,
    "gbdt": 1,
    "binning": 2,
    "linear": 2,
    "logistic": 2,
    "moments": 1,
    "scorecard": 2,
    "statistics": 1,
    "tally": 1,
    "resume": 1,
}
"""Versions of what a job of this build speaks. Parties compare them before any data."""

_HASH_DOMAIN = b"fedcredit/v1/job-specification\0"
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class PartyEntry(Section):
    """One data party of a job. A `member` has what the label party has, for other subjects. `table` is the name under
    which the party declares the table it is to use. The last six are its offer; a proposal has none of them. `subjects`
    is the same in two jobs where the set is. `unbalanced`: a filter of earlier jobs is kept, and would be used."""

    id: Name
    role: Literal["label", "member", "feature"]
    table: Name = MAIN_TABLE
    rows: Annotated[int, Field(ge=0)] | None = None
    features: Annotated[int, Field(ge=0)] | None = None
    commitment: Hex32 | None = None
    subjects: Hex32 | None = None
    certificate: Annotated[str, Field(pattern=r"^([0-9a-f]{2}){1,8192}$")] | None = None
    unbalanced: Literal[True] | None = None

    @property
    def complete(self) -> bool:
        """Whether the party's offer is in it."""
        return None not in (self.rows, self.features, self.commitment, self.subjects, self.certificate)

    def offering(
        self,
        *,
        rows: int,
        features: int,
        commitment: bytes,
        subjects: bytes,
        certificate: bytes,
        unbalanced: bool = False,
    ) -> PartyEntry:
        """This entry with the party's offer in it."""
        return PartyEntry(
            id=self.id,
            role=self.role,
            table=self.table,
            rows=rows,
            features=features,
            commitment=commitment.hex(),
            subjects=subjects.hex(),
            certificate=certificate.hex(),
            unbalanced=True if unbalanced else None,
        )


class ModelEntry(Section):
    """One model of a job; `params` are checked by the kind's own parser before a party offers anything."""

    kind: Literal["gbdt", "binning", "logistic", "scorecard", "statistics"]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9._-]{0,31}$")]
    groupsum: Literal["auto", "rlwe", "onehot", "paillier"]
    hide_nodes: bool
    split: Layout = "vertical"
    params: dict[str, Any]

    @model_validator(mode="after")
    def _fits(self) -> ModelEntry:
        if self.split == "mixed" and self.kind != "scorecard":
            raise ValueError("of mixed tables a scorecard is made")
        if self.groupsum == "rlwe" and self.kind in ("gbdt", "statistics"):
            raise ValueError("sums of more than bad rows are not made under ring-LWE")
        if self.groupsum == "onehot" and self.kind == "logistic":
            raise ValueError("a fit is not made of one-hot vectors")
        return self

    def public(self) -> PublicModel:
        """What decides who learns what through it. Parameters that are none lead to the most that can be learnt."""
        asked = self.params.get("iv_disclosure", BinParams().iv_disclosure if self.kind == "binning" else "coarse")
        told: IvDisclosure = asked if asked in get_args(IvDisclosure) else "exact"
        merged = self.params.get("merged_card", False) is not False
        signs = self.params.get("signs", "drop") != "drop"
        return PublicModel(
            name=self.name,
            kind=self.kind,
            hide_nodes=self.hide_nodes,
            split=self.split,
            iv_disclosure=told,
            merged_card=merged,
            fixed_signs=signs,
            period_scores=self.params.get("period_scores", False) is not False,
            tables=self._tables(),
        )

    def _tables(self) -> frozenset[str]:
        if self.kind != "statistics":
            return frozenset()
        try:
            params = StatisticsParams.from_mapping(self.params)
        except ConfigError:
            return STATISTICS_SHOW
        said = {"sums": params.sums, "cells": params.crosses, "shared": params.share}
        return frozenset(name for name, shown in said.items() if shown)


class LeakageRow(Section):
    """What one party learns about another's subjects, through which step; `id` is what a policy accepts."""

    id: str
    party: str
    learns: str
    about: str
    through: str


class JobSpecification(Section):
    """A proposal, or with every party's offer in it the specification that is signed.

    `submitter` is the party or operator that handed the job in, as the platform read it from its certificate.
    """

    format: Literal[1]
    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
    nonce: Hex32
    platform: Name
    submitter: Name
    protocols: dict[str, int]
    job: JobSection
    parties: Annotated[tuple[PartyEntry, ...], Field(min_length=2, max_length=MAX_MEMBERS)]
    intersect: IntersectSection
    split: SplitSection | None
    aggregate: AggregateSection | None = None
    models: tuple[ModelEntry, ...]
    leakage: tuple[LeakageRow, ...]

    @model_validator(mode="after")
    def _fits(self) -> JobSpecification:
        names = [party.id for party in self.parties]
        labels = sum(party.role == "label" for party in self.parties)
        if len(set(names)) != len(names) or labels != 1 or self.platform in names:
            raise ValueError("names or roles do not fit")
        self._fits_layout()
        if self.intersect.size_only and (self.models or len(names) != 2):
            raise ValueError("the size alone is for two parties and no model")
        if self.intersect.mode == UNBALANCED and (len(names) != 2 or self.models):
            raise ValueError("mode unbalanced is for two parties and no model")
        if self.split is None and any(model.kind not in ("binning", "statistics") for model in self.models):
            raise ValueError("a model that is trained needs rows held out")
        return self

    def _fits_layout(self) -> None:
        roles, layouts = [party.role for party in self.parties], {model.split for model in self.models}
        if len(layouts) > 1:
            raise ValueError("models of one job need the same split")
        if self.layout == "vertical":
            if "member" in roles or self.aggregate is not None or len(roles) > MAX_PARTIES:
                raise ValueError("of a vertical job one party alone has the label")
            return
        if self.aggregate is None or ("feature" in roles) == (self.layout == "horizontal"):
            raise ValueError("roles do not fit the split")
        if self.layout == "horizontal" and self.intersect != IntersectSection(id_type=self.intersect.id_type):
            raise ValueError("parties of a horizontal job have no subjects in common")
        members, least = len(self.members), self.aggregate.least
        if members < least or not may_be_threshold(self.aggregate.threshold or members, members, least):
            raise ValueError("too few parties to add up")
        if any(check_noise(self.aggregate, [model.kind for model in self.models], members)):
            raise ValueError("noise does not go with these models, or with fewer parties")
        if self.layout == "mixed" and self.threshold != members:
            raise ValueError("a mixed model needs all parties")

    @classmethod
    def parse(cls, data: bytes) -> JobSpecification:
        """The specification in `data`, which must be its canonical form.

        Raises: RefusedError; INCOMPATIBLE where it is one of another version, whatever else is in it.
        """
        value = parse_canonical(data)
        theirs = value.get("format") if isinstance(value, dict) else None
        if isinstance(theirs, int) and theirs != FORMAT:
            what, fix = f"has format {theirs}, this version has {FORMAT}", "install the same version everywhere"
            raise RefusedError(Problem("INCOMPATIBLE", "job specification", what, fix))
        try:
            specification = cls.model_validate_json(data)
        except ValidationError as invalid:
            where = ".".join(map(str, invalid.errors()[0]["loc"]))
            raise RefusedError(
                Problem("SPEC_INVALID", f"job specification: {where}", "is not what it must be")
            ) from None
        if specification.to_bytes() != data:
            raise RefusedError(Problem("SPEC_INVALID", "job specification", "is not in its canonical form"))
        return specification

    def to_bytes(self) -> bytes:
        """The canonical bytes that are hashed."""
        return canonical(self.model_dump(mode="json", by_alias=True, exclude_none=True) | {"split": self._split()})

    def _split(self) -> dict[str, Any] | None:
        return None if self.split is None else self.split.model_dump(mode="json", by_alias=True, exclude_none=True)

    @property
    def hash(self) -> bytes:
        """32 bytes that name exactly this specification: the job's ssid."""
        return hashlib.sha256(_HASH_DOMAIN + self.to_bytes()).digest()

    @property
    def label_party(self) -> PartyId:
        """The one party that learns the intersection first and holds the label, if there is one."""
        return next(PartyId(party.id) for party in self.parties if party.role == "label")

    def party(self, name: PartyId) -> PartyEntry:
        """The entry of `name`. Raises RefusedError when it is not in this job."""
        for entry in self.parties:
            if entry.id == name:
                return entry
        raise RefusedError(Problem("SPEC_INVALID", "job specification: parties", f"{name} is not one of them"))

    @property
    def feature_parties(self) -> tuple[PartyId, ...]:
        """The parties without a label of their own, in the order of the job."""
        return tuple(PartyId(party.id) for party in self.parties if party.role == "feature")

    @property
    def members(self) -> tuple[PartyId, ...]:
        """The parties that have a label, the label party first: in a vertical job that one alone."""
        others = (PartyId(party.id) for party in self.parties if party.role == "member")
        return (self.label_party, *others)

    @property
    def other_parties(self) -> tuple[PartyId, ...]:
        """All parties but the label party: further ones with a label, then those without."""
        return (*self.members[1:], *self.feature_parties)

    @property
    def layout(self) -> Layout:
        """How the parties' tables lie to each other."""
        return self.models[0].split if self.models else "vertical"

    @property
    def threshold(self) -> int:
        """Of how many members a sum may come at the least: all of them, unless the job says so."""
        given = None if self.aggregate is None else self.aggregate.threshold
        return len(self.members) if given is None else given

    @property
    def data_parties(self) -> tuple[PartyId, ...]:
        """All parties with a table in it, in the order of the job."""
        return tuple(PartyId(party.id) for party in self.parties)

    def derive_leakage(self) -> tuple[LeakageRow, ...]:
        """What each party will learn, worked out from the rest; `leakage` must say the same."""
        return tuple(LeakageRow(**disclosure.row()) for disclosure in self.disclosures())

    def disclosures(self) -> tuple[Disclosure, ...]:
        """What each party will learn, as a policy looks at it."""
        public = PublicJob(
            platform=PartyId(self.platform),
            label_party=self.label_party,
            feature_parties=self.feature_parties,
            members=self.members[1:],
            threshold=self.threshold,
            noised=self.aggregate is not None and self.aggregate.noised,
            receiver_only=self.intersect.receiver_only,
            size_only=self.intersect.size_only,
            unbalanced=self.intersect_modes == {UNBALANCED},
            time_split=self.split is not None and self.split.time is not None,
            models=tuple(replace(model.public(), groupsum=backends_of(self, model)) for model in self.models),
        )
        return leakage_of(public)

    @property
    def intersect_modes(self) -> frozenset[str]:
        """The modes that the intersection may run in: one once all parties have said how many rows they bring."""
        if self.layout == "horizontal":
            return frozenset()
        open_ = self.intersect.mode == "auto" and not self.intersect.size_only
        if open_ and any(party.rows is None for party in self.parties):
            return frozenset(MODES)
        return frozenset({self.intersect_choice.mode})

    @property
    def intersect_choice(self) -> Choice:
        """The mode of the intersection, and why it is that one. Where it is left open, of a job with all offers in."""
        rows = [party.rows or 0 for party in self.parties]
        asked, kept = self.intersect, None
        if self.may_be_unbalanced and all(party.unbalanced for party in self.parties):
            few, (many,) = self.label_party, self.feature_parties
            kept = self.party(few).rows or 0, self.party(many).rows or 0
        return choose(asked.mode, rows, size_only=asked.size_only, line_mbit=asked.line_mbit, kept=kept)

    @property
    def may_be_unbalanced(self) -> bool:
        """Whether mode unbalanced would do: two parties, of which one alone learns the rows, and no model."""
        section = self.intersect
        return len(self.parties) == 2 and section.receiver_only and not section.size_only and not self.models

    def proposal(self) -> JobSpecification:
        """This specification without the offers."""
        bare = tuple(PartyEntry(id=party.id, role=party.role, table=party.table) for party in self.parties)
        return self._with_parties(bare)

    def with_offers(self, offers: Mapping[PartyId, PartyEntry]) -> JobSpecification:
        """This proposal with every party's offer in it."""
        return self._with_parties(tuple(offers[PartyId(party.id)] for party in self.parties))

    def _with_parties(self, parties: tuple[PartyEntry, ...]) -> JobSpecification:
        found = self.model_copy(update={"parties": parties})
        # What is shown follows from the offers where the mode does, and mode unbalanced alone shows something else; and
        # where the backend does, since what has to be believed is part of the table.
        modes = self.intersect_modes | found.intersect_modes
        by_mode = self.intersect.mode == "auto" and self.intersect_modes != found.intersect_modes
        by_backend = any(backends_of(self, model) != backends_of(found, model) for model in self.models)
        if by_backend or (by_mode and UNBALANCED in modes):
            return found.model_copy(update={"leakage": found.derive_leakage()})
        return found

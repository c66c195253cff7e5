"""What `fedcredit verify` does: one question, a file of them, or a look at signed answers that were kept."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Self

import typer

from fedcredit.cli.consented_subjects import ConsentedSubject, read_subjects, read_token
from fedcredit.cli.predicate_trial import parameters_of
from fedcredit.errors import ConfigError, DataError, PeerError, Problem, RefusedError, UsageError
from fedcredit.governance.verification.proofs import MAX_PROOF_BYTES, ProofFile, read_proof
from fedcredit.ids import PartyId, party_id
from fedcredit.node.durable_files import replace_file
from fedcredit.node.membership.asking import Sighting, looked_up
from fedcredit.node.own_node import node_of
from fedcredit.node.verification.client import REFUSED, Provider, VerifyClient, provider_at, signer_at
from fedcredit.runtime.config import PartyFile
from fedcredit.runtime.predicate_file import shipped_predicates
from fedcredit.runtime.toml import nearest
from fedcredit.tables.export import write_csv
from fedcredit.wire.verification import Argument, Kind, Outcome, Question
from fedcredit.wire.verified import Answer, BatchAnswer, Check

__all__ = ["Asking", "check_file"]

_EPOCH = date(1970, 1, 1)
_COLUMNS = ("uscc", "predicate", "outcome", "recorded_on", "evaluated_on")
_SIGNED = "signed answer"
_SAID_HERE = {Sighting.ABSENT: "unknown", Sighting.REFUSED: "refused"}
"""What is said, without asking, of who was looked up privately."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A question without its subject, and whom to ask."""

    config: PartyFile
    provider: Provider
    kind: Kind
    purpose: str

    @classmethod
    def of(
        cls, node: Path | None, provider: str, certificate: Path, predicate: str, params: Sequence[str], purpose: str
    ) -> Self:
        """Raises: UsageError, ConfigError where something does not fit, before anybody is asked."""
        config = node_of(node)
        party, sign, address = provider.partition("=")
        if not sign or ":" not in address:
            raise UsageError(Problem("USAGE", "--provider", "is not NAME=HOST:PORT", "water=10.0.0.7:7543"))
        whom = provider_at(config, party_id(party), address, str(certificate.absolute()))
        compiled = shipped_predicates().get(predicate)
        if compiled is None:
            close = nearest(predicate, list(shipped_predicates()))
            fix = f"did you mean {close!r}?" if close else "fedcredit predicate list"
            raise UsageError(Problem("PREDICATE_UNKNOWN", f"predicate {predicate[:64]}", "is not known", fix))
        values = parameters_of(compiled, params)
        # Off the ladder it would be refused, and say nothing of why.
        compiled.enquiry(values, _EPOCH, institution="-" if "institution" in compiled.program.parameters else None)
        arguments = tuple(
            Argument(name, float(value) if isinstance(value, int | float) else value)
            for name, value in sorted(values.items())
        )
        return cls(config, whom, Kind(predicate, arguments), purpose)

    def one(self, subject: str, name: str, consent: Path | None, proof: Path | None, *, as_json: bool) -> None:
        """Ask about one subject, and say what comes of it."""
        answer, kept = asyncio.run(self._one(subject, name, read_token(consent)))
        if proof is not None:
            replace_file(proof, kept.encode())
        _say(_told(self.provider.party, self.kind.predicate, answer), as_json=as_json)

    def many(self, subjects: Path, out: Path, proof: Path | None, batch: int, *, private: bool, as_json: bool) -> None:
        """Ask about all subjects of a file, and write what comes of it to another, in the order of its rows.

        `private`: the provider is asked only about those in its table, and learns of the others how many they are.
        """
        rows = list(read_subjects(subjects))
        asyncio.run(self._many(rows, out, proof, batch, private=private, as_json=as_json))

    async def _one(self, subject: str, name: str, consent: str) -> tuple[Answer, ProofFile]:
        async with VerifyClient.of(self.config, self.provider) as client:
            return await client.ask(Question(subject, self.kind, name), self.purpose, consent)

    async def _many(
        self, rows: list[ConsentedSubject], out: Path, proof: Path | None, batch: int, *, private: bool, as_json: bool
    ) -> None:
        seen = await self._looked_up(rows) if private else [Sighting.PRESENT] * len(rows)
        asked = [row for row, sighting in zip(rows, seen, strict=True) if sighting is Sighting.PRESENT]
        signed_rows: list[tuple[str, str, str]] = []
        with ExitStack() as held:
            kept = None if proof is None else held.enter_context(_private(proof))
            async for part, answers, signed in self._batches(asked, batch):
                if kept is not None:
                    kept.write(signed.encode())
                for _, outcome, recorded in zip(part, answers.outcomes, answers.recorded_on, strict=True):
                    said = Outcome(int(outcome)).name.lower()
                    signed_rows.append((said, _day(int(recorded)), _day(answers.evaluated_on)))
                typer.echo(f"  {len(signed_rows):,} of {len(asked):,}", err=True)
        written, counts, answered = list[tuple[object, ...]](), Counter[str](), iter(signed_rows)
        for row, sighting in zip(rows, seen, strict=True):
            is_signed = sighting is Sighting.PRESENT
            said_of = next(answered) if is_signed else (_SAID_HERE[sighting], "", "")
            counts[said_of[0]] += 1
            basis = ((_SIGNED if is_signed else sighting.value),) if private else ()
            written.append((row.subject, self.kind.predicate, *said_of, *basis))
        write_csv(out, (*_COLUMNS, *(("basis",) if private else ())), written)
        told = {"provider": self.provider.party, "predicate": self.kind.predicate, "checks": len(rows), **counts}
        _say(told, as_json=as_json)
        if counts["refused"] == len(rows):
            raise RefusedError(Problem(REFUSED, self.provider.party, "all of them were refused"))

    async def _looked_up(self, rows: Sequence[ConsentedSubject]) -> list[Sighting]:
        def say(line: str) -> None:
            typer.echo(f"  {line}", err=True)

        pairs = [(row.subject, row.consent) for row in rows]
        return await looked_up(self.config, self.provider.party, self.kind.predicate, self.purpose, pairs, say)

    async def _batches(
        self, rows: Sequence[ConsentedSubject], batch: int
    ) -> AsyncIterator[tuple[Sequence[ConsentedSubject], BatchAnswer, ProofFile]]:
        async with VerifyClient.of(self.config, self.provider) as client:
            for part in _batched(rows, batch):
                tokens = list(dict.fromkeys(row.consent for row in part))
                places = {token: place for place, token in enumerate(tokens)}
                checks = tuple(Check(row.subject, 0, places[row.consent]) for row in part)
                answers, proof = await client.ask_many((self.kind,), checks, self.purpose, tuple(tokens))
                yield part, answers, proof


def check_file(path: Path, certificate: Path, *, as_json: bool) -> None:
    """Check all signed answers in a file. Raises: PeerError where one is not proven."""
    signer = signer_at(certificate)
    count = 0
    for line in _proofs(path):
        proof = read_proof(line)
        if proof.provider != signer.party:
            what = f"is of {proof.provider}, and the certificate is {signer.party}'s"
            raise PeerError(proof.provider, "verify", what, "ANSWER_MISMATCH")
        answer = proof.check(signer.verify)
        count += 1
        if isinstance(answer, Answer):
            _say(_told(signer.party, "", answer), as_json=as_json)
        else:
            outcomes = Counter(Outcome(int(one)).name.lower() for one in answer.outcomes)
            _say({"provider": signer.party, "checks": len(answer.outcomes), **outcomes}, as_json=as_json)
    if not count:
        raise DataError(Problem("ANSWER_MALFORMED", str(path), "holds no signed answer"))


def _proofs(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while line := file.readline(MAX_PROOF_BYTES + 1):
                yield line
    except OSError as error:
        raise ConfigError(Problem("PROOF_FILE", str(path), f"cannot be read ({error.strerror})")) from None


def _private(path: Path) -> IO[bytes]:
    """A new file for its owner alone: it will name subjects."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")


def _batched(rows: Sequence[ConsentedSubject], size: int) -> Iterator[Sequence[ConsentedSubject]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _told(provider: PartyId, predicate: str, answer: Answer) -> dict[str, Any]:
    named = {"predicate": predicate} if predicate else {}
    return {
        "provider": provider,
        **named,
        "outcome": answer.outcome.name.lower(),
        "evaluated_on": _day(answer.evaluated_on),
        "recorded_on": _day(answer.recorded_on),
        "catalog_version": answer.catalog_version,
        "predicates_version": answer.predicates_version,
    }


def _day(number: int) -> str:
    return "" if not number else (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=number)).date().isoformat()


def _say(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(told))
    else:
        typer.echo("  ".join(f"{name}: {value}" for name, value in told.items() if value != ""))

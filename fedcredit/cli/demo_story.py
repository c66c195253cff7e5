"""What `fedcredit demo` plays after its job: an enterprise agrees, and is scored and asked about, once each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fedcredit.errors import ConfigError, PeerError, Problem
from fedcredit.estimators.scorecard_part import CardPart
from fedcredit.governance.consent.terms import Terms
from fedcredit.ids import PartyId
from fedcredit.node.durable_files import replace_file
from fedcredit.node.local import PLATFORM
from fedcredit.node.outcome import publish as publish_result
from fedcredit.node.scoring.client import Score, ScoreClient, Wanted
from fedcredit.node.scoring.version import find_version, own_points
from fedcredit.node.town import models
from fedcredit.node.town.consents import Representative
from fedcredit.node.town.town import Register, Services, Town
from fedcredit.node.verification.client import VerifyClient, provider_at
from fedcredit.runtime.config import JobFile
from fedcredit.runtime.predicate_file import shipped_predicates
from fedcredit.tables import open_table
from fedcredit.wire.control import JobEvent
from fedcredit.wire.verification import Kind, Question

__all__ = ["Story"]

REGION: Final = "jining"
TAX: Final = PartyId("tax")
ITEM, QUESTION = "tax_payment", "tax_vat_in_full"
MODEL: Final = "sme-default"
ANSWER: Final = Path("asked", "answer.json")
ACCOUNT: Final = "ann"
DAYS: Final = 30


@dataclass(slots=True)
class Story:
    """Runs the demonstration's job in a town, and then what its model and its tables are for.

    `seconds`: what the latter took; `rows`: who saw what of it, ready for `show`.
    """

    subject: str = ""
    seconds: float = 0.0
    rows: list[tuple[str, str, str]] = field(default_factory=list)

    async def play(self, job: JobFile, out: Path, watch: Callable[[JobEvent], None] | None = None) -> dict[str, Any]:
        """As `fedcredit.node.local.simulate`, over nodes that have joined one another. Raises: FedcreditError."""
        records = Register(ITEM, job.table_path(TAX))
        async with Town(job, out, Services(REGION, {TAX: [records]})) as town:
            name = await town.run(watch)
            began = time.monotonic()
            await self._tell(town, name)
            self.seconds = time.monotonic() - began
            await town.stop()
            return publish_result(job, name, out)

    def show(self, out: Path) -> None:
        """Print it."""
        table = Table(box=box.SIMPLE_HEAD, title_style="bold", title_justify="left")
        table.title = f"One score and one question about {self.subject}, {self.seconds:.1f} s"
        for column in ("who", "saw", "did not see"):
            table.add_column(column, style="bold" if column == "who" else "")
        for who, saw, not_seen in self.rows:
            table.add_row(Text(who), Text(saw), Text(not_seen))
        console = Console(highlight=False)
        console.print(table)
        certificate = out / "audit" / TAX / "signing.crt"
        console.print(f"The answer, signed: fedcredit verify --check {out / ANSWER} --certificate {certificate}")

    async def _tell(self, town: Town, job: str) -> None:
        self.subject = await asyncio.to_thread(_somebody, town.job)
        ann = Representative.with_account(town, ACCOUNT, [self.subject])
        scored = "no score: of so few rows no card is made"
        if cards := [one["name"] for one in town.job.shared()["models"] if one["kind"] == "scorecard"]:
            await models.activate(town, MODEL, await models.publish(town, job, cards[0], MODEL))
            scored = await self._score(town, ann)
        answer = await self._ask(town, ann)
        self.rows += list(_seen(town, scored, answer))

    async def _score(self, town: Town, ann: Representative) -> str:
        token = (await ann.grant(self._terms(town, town.departments, models=(MODEL,))))["token"]
        config = town.config(town.bank)
        version = await find_version(config, MODEL)
        own = await asyncio.to_thread(own_points, config, version)
        async with ScoreClient.of(config, version) as client:
            (found,) = await client.score([Wanted(self.subject, token)], own)
        if not isinstance(found, Score):
            raise PeerError(version.providers[0], "score", f"did not score an enterprise that agrees: {found}")
        assert isinstance(version.part, CardPart), "a card was published"
        low, high = version.part.point_range
        return (
            f"{found.points} points, the sum of {len(version.offer.parties)} parts of which its own is from {low} to "
            f"{high}; band {found.band} of {version.bands.n_bands}, {found.probability:.1%} probability of default"
        )

    async def _ask(self, town: Town, ann: Representative) -> str:
        token = (await ann.grant(self._terms(town, (TAX,), predicates=(QUESTION,))))["token"]
        config = town.config(town.bank)
        address = json.loads((town.folder(TAX) / "ready.json").read_text())["verify"]
        signer = str(town.folder(TAX).absolute() / "keys" / "signing.crt")
        async with VerifyClient.of(config, provider_at(config, TAX, address, signer)) as client:
            answer, proof = await client.ask(Question(self.subject, Kind(QUESTION, ())), town.job.job.purpose, token)
        place = town.out / ANSWER
        place.parent.mkdir(mode=0o700, exist_ok=True)
        replace_file(place, proof.encode())
        return answer.outcome.name.removeprefix("OUTCOME_").lower()

    def _terms(self, town: Town, departments: tuple[PartyId, ...], **scope: tuple[str, ...]) -> Terms:
        return Terms(
            subject=self.subject,
            requester=town.bank,
            providers=tuple(sorted(departments)),
            purpose=town.job.job.purpose,
            region=REGION,
            days=DAYS,
            language="en",
            items=scope.get("items", ()),
            predicates=scope.get("predicates", ()),
            models=scope.get("models", ()),
        )


def _somebody(job: JobFile) -> str:
    """The first enterprise, by its code, that is in all tables; no sole proprietor, whose consent is a person's.

    Raises: ConfigError (SET_EMPTY).
    """
    common: set[bytes] | None = None
    for party in job.parties:
        with open_table(job.file_table(party).spec(job.path.parent, None)) as table:
            ids = set(np.asarray(table.ids()).astype("S18").tolist())
        common = ids if common is None else common & ids
    found = sorted(code for code in common or () if not code.startswith(b"92"))
    if not found:
        raise ConfigError(Problem("SET_EMPTY", str(job.path), "no enterprise is in all tables", "--rows with more"))
    return found[0].decode("ascii")


def _seen(town: Town, scored: str, answer: str) -> Iterator[tuple[str, str, str]]:
    """Who saw what, and what that party's own log has of it."""
    asked = shipped_predicates()[QUESTION].predicate.en
    not_scored = "points, bins or columns of another" if scored[0].isdigit() else "-"
    yield town.bank, f"{scored}. {asked} {answer.capitalize()}, signed", f"{not_scored}; the record behind the answer"
    for party in town.departments:
        saw = "; ".join(("who asks about whom, on which consent", *_logged(town, party)))
        yield party, saw, "the score, another's points, what the bank does with them"
    yield PLATFORM, f"what {ACCOUNT} agreed to for the enterprise, by name", "whether it was used; a score or an answer"


def _logged(town: Town, party: PartyId) -> Iterator[str]:
    """What a department's logs have of the score and the question."""
    for log, folder in (("log", "audit"), ("log of answers", "verify/audit")):
        path = town.folder(party) / folder / "entries.jsonl"
        for entry in map(json.loads, path.read_bytes().splitlines() if path.exists() else ()):
            if entry["event"] in ("score_answered", "verified"):
                yield f"entry {entry['sequence']} of its {log}: {entry['event']}"

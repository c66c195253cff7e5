"""What `fedcredit whitelist` does: keys, lists for institutions, and lists that came."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import typer

from fedcredit.errors import ConfigError, DataError, Problem, UsageError
from fedcredit.governance.scoring.whitelist import MAX_LIST_BYTES, ListRule, region_of
from fedcredit.node.consent.held import HeldConsents
from fedcredit.node.durable_files import replace_file
from fedcredit.node.own_node import node_of
from fedcredit.node.own_store import store_url
from fedcredit.node.scoring.own_keys import kept_keys, own_keys
from fedcredit.node.scoring.whitelists import Candidate, Maker, believed_word, open_list, own_word
from fedcredit.node.signing import SigningIdentity, load_signing
from fedcredit.node.store import Store
from fedcredit.node.trust.keys import load_trust, platform_address
from fedcredit.node.verification.log_key import log_key
from fedcredit.node.watching.score_files import read_scores
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.config import PartyFile
from fedcredit.tables.export import write_csv
from fedcredit.tables.identifiers import subject_id

__all__ = ["Making", "open_file", "write_key"]

_MOST_KEY_BYTES: Final = 256 << 10
_MOST_BYTES: Final = 1 << 30
_MOST_PROBLEMS: Final = 20


def write_key(node: Path | None, out: Path) -> None:
    """Write the party's own signed word. Raises: ConfigError."""
    config, now = node_of(node), _now()
    replace_file(out, own_word(own_keys(config.folder, config.me, now), _signing(config)), mode=0o644)
    typer.echo(f"{config.me}: its word on its keys is in {out}")


def open_file(node: Path | None, file: Path, out: Path, *, as_json: bool) -> None:
    """Open a list and write it as CSV. Raises: ConfigError, PeerError, DataError."""
    config = node_of(node)
    keys = kept_keys(config.folder, config.me, _now())
    header, found = open_list(_bytes(file, MAX_LIST_BYTES), keys, _signing(config))
    rows = [(row.subject, region_of(row.subject), row.industry) for row in found.rows]
    write_csv(out, ("uscc", "region", "industry"), rows)
    rule = {"band": found.rule.band, "region": found.rule.region, "industries": list(found.rule.industries)}
    told = {"from": header.sender, "model": header.model, "version": header.version, "made": header.made}
    if as_json:
        typer.echo(json.dumps({**told, "rule": rule, "subjects": len(rows)}, ensure_ascii=False))
        return
    typer.echo(
        f"{len(rows):,} enterprises of band {found.rule.band} or better by {header.model} {header.version}, from "
        f"{header.sender}: {out}"
    )


@dataclass(frozen=True, slots=True)
class Making:
    """Lists from scores of one version."""

    config: PartyFile
    maker: Maker

    @classmethod
    def of(cls, node: Path | None, model: str, version: int | None, consent_region: str) -> Self:
        """Raises: ConfigError, UsageError (MODEL_UNKNOWN)."""
        config, now = node_of(node), _now()
        known = platform_address(config)
        if known is None or config.party.kind == "platform":
            fix = "give --node DIR of a party that has joined a platform"
            raise UsageError(Problem("USAGE", str(config.folder), "is no folder of a party with a platform", fix))
        signing, trust = _signing(config), load_trust(config)
        held = HeldConsents(config.folder, known[0], signing)
        held.load()
        number, purpose = _version(config, model, version)
        maker = Maker(
            signing=signing,
            trust=trust,
            keys=own_keys(config.folder, config.me, now),
            premises=held.premises(config.me, consent_region),
            log_key=log_key(config.folder),
            model=model,
            version=number,
            purpose=purpose,
            now=now,
        )
        return cls(config, maker)

    def make(
        self,
        scores: Path,
        consents: Path,
        to: list[Path],
        rule: tuple[int, str, tuple[str, ...]],
        out: Path,
        *,
        as_json: bool,
    ) -> None:
        """Write a sealed list for each of `to`. Raises: DataError, PeerError, UsageError; then none is written."""
        try:
            wanted = ListRule(*rule)
        except ValueError:
            what, fix = "is no rule", "--region of up to six digits, --industry as in your file"
            raise UsageError(Problem("USAGE", "whitelist make", what, fix)) from None
        maker, found, candidates = self.maker, read_scores(scores, only_bands=True), list(_candidates(consents))
        words = [believed_word(_bytes(path, _MOST_KEY_BYTES), maker.signing, maker.now) for path in to]
        if len({word.party for word in words}) != len(words) or maker.signing.me in {word.party for word in words}:
            raise UsageError(Problem("USAGE", "--to", "names an institution twice, or yourself", "each once"))
        lists = [(word.party, maker.listed(word.party, wanted, candidates, found), word) for word in words]
        files = [(party, len(made.rows), maker.sealed(word, made)) for party, made, word in lists]
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        told = []
        for party, count, data in files:
            path = out / f"{maker.signing.me}-to-{party}.sealed"
            replace_file(path, data)
            told.append({"to": party, "subjects": count, "file": str(path)})
        if as_json:
            typer.echo(json.dumps({"model": maker.model, "version": maker.version, "lists": told}))
            return
        for one in told:
            typer.echo(f"{one['to']}: {one['subjects']:,} enterprises, {one['file']}")


def _version(config: PartyFile, model: str, version: int | None) -> tuple[int, str]:
    store = Store.look(store_url(config))
    try:
        known = {part.word.version: part.offer for part in store.model_parts.all() if part.word.name == model}
    finally:
        store.close()
    number = max(known, default=0) if version is None else version
    if number not in known:
        raise UsageError(Problem("MODEL_UNKNOWN", f"model {model[:32]}", "is not known here", "fedcredit model list"))
    return number, known[number].purpose


def _candidates(path: Path) -> Iterator[Candidate]:
    """The rows of the file of consents. Raises: DataError (CSV_*, COLUMN_MISSING, ID_*) with every line."""
    problems = list[Problem]()
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(Problem("CSV_FILE", str(path), "is larger than 1 GiB", "split it"))
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            for name in ("uscc", "consent"):
                if name not in (reader.fieldnames or ()):
                    raise DataError(Problem("COLUMN_MISSING", f"{path}: {name}", "is not a column"))
            for row in reader:
                try:
                    code = bytes(subject_id((row["uscc"] or "").strip())).decode("ascii")
                except DataError as error:
                    problems.append(Problem(error.code, f"{path}, line {reader.line_num}", error.problems[0].what))
                    if len(problems) >= _MOST_PROBLEMS:
                        break
                    continue
                yield Candidate(code, (row["consent"] or "").strip(), (row.get("industry") or "").strip())
    except OSError as error:
        raise DataError(Problem("CSV_FILE", str(path), f"cannot be read ({error.strerror})")) from None
    except (UnicodeDecodeError, csv.Error):
        raise DataError(Problem("CSV_STRUCTURE", str(path), "is not CSV in UTF-8")) from None
    if problems:
        raise DataError(problems)


def _bytes(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise ConfigError(Problem("WHITELIST_FILE", str(path), f"cannot be read ({error.strerror})")) from None


def _signing(config: PartyFile) -> SigningIdentity:
    trust = load_trust(config)
    return load_signing(config, SystemClock(), lambda: trust)


def _now() -> int:
    return int(SystemClock().now().timestamp())

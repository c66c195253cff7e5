"""`fedcredit audit`: check audit logs without their nodes, prove what is in them, and read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fedcredit.governance.audit_proof import Proof
    from fedcredit.node.audit_places import LogPlace

__all__ = ["app"]

app = typer.Typer(
    help=(
        "Check audit logs offline, prove what is in them, and read them.\n\n"
        "A party's log has a signed head: how many entries there are, and one hash over all of them. Keep a copy of a "
        "party's file [bold]checkpoint[/bold] now and then: whoever rewrites or shortens that log later contradicts "
        "the copy, and [bold]audit verify --known[/bold] shows it."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Place = Annotated[
    Path,
    typer.Argument(
        help="A node's folder, a folder with a log, or the result of a run.", metavar="PLACE", show_default=False
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option(
        help="The party's signing.crt, as you have it from a source that you believe; else the one that lies there.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, one object a line.")]


@app.command("verify")
def verify(
    place: Annotated[
        Path,
        typer.Argument(
            help="A node's folder, a folder with a log, the result of a run, or a proof made by `audit prove`.",
            metavar="PLACE",
            show_default=False,
        ),
    ],
    certificate: Certificate = None,
    known: Annotated[
        list[Path] | None,
        typer.Option(help="A copy of the log's `checkpoint` from before; repeatable.", show_default=False),
    ] = None,
    witness: Annotated[
        list[str] | None,
        typer.Option(
            help="A peer that signs the log's heads, and its signing.crt as you have it; repeatable.",
            metavar="NAME=CERT",
            show_default=False,
        ),
    ] = None,
    witnesses_needed: Annotated[
        int | None,
        typer.Option(help="How many of the --witness have to have signed; else all.", min=1, show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every entry, their order, the tree over them and its signature; or a proof.

    Exit status 65 if anything was changed, removed, added, moved, rolled back or forked. Without --certificate the key
    is believed that lies with the log: compare its SHA-256, which is printed, with the party's. A log on its own cannot
    show that its end was cut off together with its head: give --known for that, or --witness, if peers sign its heads.

        fedcredit audit verify runs/demo
        fedcredit audit verify parties/tax --known kept/tax-2026-05.checkpoint
        fedcredit audit verify parties/tax --witness bank=bank/signing.crt --witness land=land/signing.crt
        fedcredit audit verify proof.json --certificate tax/signing.crt
    """
    from fedcredit.cli.witnesses import asked_witnesses, check_witnesses
    from fedcredit.errors import Problem, UsageError
    from fedcredit.node.audit_places import find_logs, read_head, read_proof, signer_of

    heads = [read_head(path) for path in known or ()]
    asked = asked_witnesses(witness or (), witnesses_needed)
    if place.is_file():
        if witness:
            raise UsageError(Problem("USAGE", "--witness", "is for logs, not for proofs", "name a log"))
        if certificate is None or heads:
            what = "a proof is checked with the party's certificate" if not heads else "is for logs, not for proofs"
            fix = "give --certificate PARTY/signing.crt, from a source that you believe"
            raise UsageError(Problem("USAGE", "--known" if heads else "--certificate", what, fix))
        proof = read_proof(place)
        signer = signer_of(certificate, proof.signed)
        signer.check_head(proof.signed)
        proof.check(signer.verify)
        _say(_proved(proof, signer), as_json=as_json)
        return
    logs = find_logs(place, certificate)
    if stray := sorted({signed.head.origin for signed in heads} - {log.origin for log in logs}):
        problem = Problem("USAGE", "--known", f"a head of {stray[0]}, whose log is not here", f"logs at {place} only")
        raise UsageError(problem)
    for log in logs:
        found = log.scan([signed for signed in heads if signed.head.origin == log.origin])
        compared = sum(signed.head.origin == log.origin for signed in heads)
        row = _whole(log, found.tree.size, found.tree.root) | {"continues": compared}
        if found.rest:
            row["unacknowledged_bytes"] = len(found.rest)
        if found.journal_bytes:
            row["journal_bytes"] = found.journal_bytes
        row["witnesses"] = check_witnesses(asked, log.origin, log.witnessed(found))
        _say(row, as_json=as_json)


@app.command("prove")
def prove(
    place: Place,
    entry: Annotated[int | None, typer.Option(help="The number of the entry to prove.", min=0)] = None,
    since: Annotated[Path | None, typer.Option(help="A copy of `checkpoint` from before.", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(help="The file to write; else standard output.")] = None,
    certificate: Certificate = None,
) -> None:
    """Prove that an entry is in a log, or that the log only grew since a head that somebody kept.

    The log is checked first. The proof is a small JSON file with all that it takes; it shows the one entry and no
    other. `audit verify` checks it, and so does any implementation of RFC 9162: docs/audit.md has the format.

        fedcredit audit prove parties/tax --entry 17 --out proof.json
        fedcredit audit prove parties/tax --since kept.checkpoint
    """
    from fedcredit.errors import Problem, UsageError
    from fedcredit.node.audit_places import find_one, read_head
    from fedcredit.node.durable_files import create_file

    if (entry is None) == (since is None):
        raise UsageError(Problem("USAGE", "audit prove", "what to prove is not said", "give --entry N or --since HEAD"))
    log = find_one(place, certificate)
    proof = log.prove(entry) if entry is not None else log.prove_since(read_head(since or Path()))
    if out is None:
        typer.echo(proof.encode(), nl=False)
    else:
        create_file(out, proof.encode())


@app.command("show")
def show(
    place: Place,
    job: Annotated[str | None, typer.Option(help="Entries of this job alone.", show_default=False)] = None,
    event: Annotated[str | None, typer.Option(help="Entries of this event alone.", show_default=False)] = None,
    last: Annotated[int, typer.Option(help="How many, from the end; 0 for all.", min=0)] = 20,
    certificate: Certificate = None,
    as_json: AsJson = False,
) -> None:
    """Read a log, after checking it: number, time, event, job and facts of its entries, and who has signed its heads.

    fedcredit audit show parties/tax --job sme-default
    fedcredit audit show parties/tax --event result_released --last 0 --json
    """
    from collections import deque

    from rich.console import Console
    from rich.text import Text

    from fedcredit.errors import Problem, UsageError
    from fedcredit.governance.audit import Entry, Event
    from fedcredit.node.audit_places import find_one

    if event is not None and event not in list(Event):
        raise UsageError(Problem("USAGE", f"--event {event}", "no such event", f"one of {', '.join(sorted(Event))}"))
    log = find_one(place, certificate)
    kept: deque[bytes] = deque(maxlen=last or None)
    # Only lines that can be wanted are taken apart: the rest of a long log is checked natively.
    marks = [f'"job":{json.dumps(job)}'.encode()] if job is not None else []
    marks += [f'{{"event":"{event}"'.encode()] if event is not None else []

    def see(block: bytes, _first: int) -> None:
        for line in block.split(b"\n")[:-1]:
            if all(mark in line for mark in marks) and _wanted(line, job, event):
                kept.append(line)

    witnessed = log.witnessed(log.scan(see=see))
    out = Console(highlight=False, soft_wrap=True)
    for line in kept:
        entry = Entry.decode(line)
        if as_json:
            typer.echo(line)
            continue
        facts = "  ".join(f"{name}={value}" for name, value in sorted(entry.facts.items()))
        time = entry.time.isoformat(sep=" ", timespec="milliseconds")
        out.print(Text.assemble((f"{entry.sequence:>6}  ", "dim"), time, "  ", (entry.event.value, "bold")), end="")
        # Names in a log are what parties call things; a terminal shows them and does not obey them.
        out.print(Text(f"  {_plain(entry.job)}  {_plain(facts)}".rstrip()))
    if not as_json:
        for one in witnessed.heads:
            names = ", ".join(name for name, _ in one.by)
            out.print(Text(f"first {one.signed.head.size} entries signed by {_plain(names)}", "dim"))


def _wanted(line: bytes, job: str | None, event: str | None) -> bool:
    from fedcredit.governance.audit import Entry

    if job is None and event is None:
        return True
    entry = Entry.decode(line)
    return job in (None, entry.job) and event in (None, entry.event.value)


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _whole(log: LogPlace, size: int, root: bytes) -> dict[str, Any]:
    import base64

    from cryptography.hazmat.primitives import hashes

    return {
        "log": log.origin,
        "entries": size,
        "root": base64.b64encode(root).decode(),
        "key_certificate_sha256": log.certificate.fingerprint(hashes.SHA256()).hex(),
    }


def _proved(proof: Proof, signer: LogPlace) -> dict[str, Any]:
    from fedcredit.governance.audit_proof import InclusionProof

    row = _whole(signer, proof.signed.head.size, proof.signed.head.root)
    if isinstance(proof, InclusionProof):
        return row | {"proves": "inclusion", "entry": json.loads(proof.line)}
    return row | {"proves": "consistency", "since": proof.older.head.size}


def _say(row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(row))
        return
    what = f"{row['log']}: whole: {row['entries']} entries"
    if row.get("proves") == "inclusion":
        what = f"{row['log']}: entry {row['entry']['sequence']} is in the log of {row['entries']} entries: "
        what += json.dumps(row["entry"])
    elif row.get("proves") == "consistency":
        what = f"{row['log']}: the log of {row['entries']} entries begins with the one of {row['since']}"
    elif row["continues"]:
        what += ", and continues " + ("the kept head" if row["continues"] == 1 else f"{row['continues']} kept heads")
    typer.echo(what)
    for said in row.get("witnesses", ()):
        typer.echo(f"  first {said['entries']} entries signed by {said['witness']}, whose certificate was given")
    typer.echo(f"  root {row['root']}, signed by the key of certificate SHA-256 {row['key_certificate_sha256']}")
    if "unacknowledged_bytes" in row:
        typer.echo(
            f"  {row['unacknowledged_bytes']} bytes after them are not signed: a write under way, or interrupted"
        )
    if "journal_bytes" in row:
        what = "the log was not closed, and starting its node puts them in place"
        typer.echo(f"  {row['journal_bytes']} bytes of them are in the journal alone: {what}")

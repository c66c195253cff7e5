"""`fedcredit verify`: ask a provider whether something holds of an enterprise, and check signed answers offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["run"]

Node = Annotated[
    Path | None,
    typer.Option(
        "--node", help="Your node's folder; else $FEDCREDIT_NODE, else the current folder.", show_default=False
    ),
]


def run(
    provider: Annotated[
        str | None, typer.Option(help="Whom to ask: NAME=HOST:PORT, e.g. water=10.0.0.7:7543.", show_default=False)
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(help="The provider's signing.crt, as its people gave it to you.", show_default=False),
    ] = None,
    predicate: Annotated[str | None, typer.Option(help="The question: fedcredit predicate list.")] = None,
    param: Annotated[list[str] | None, typer.Option(help="NAME=VALUE; repeatable.", show_default=False)] = None,
    subject: Annotated[str | None, typer.Option(help="The enterprise's code.", show_default=False)] = None,
    name: Annotated[
        str | None, typer.Option(help="Its name, for registers that are kept by name.", show_default=False)
    ] = None,
    consent: Annotated[
        Path | None, typer.Option(help="The file with the enterprise's consent token.", show_default=False)
    ] = None,
    subjects: Annotated[
        Path | None,
        typer.Option(help="A CSV file with columns uscc and consent (a token).", show_default=False),
    ] = None,
    purpose: Annotated[str, typer.Option(help="What for.")] = "financing",
    out: Annotated[
        Path | None, typer.Option(help="With --subjects: the CSV file to write.", show_default=False)
    ] = None,
    proof: Annotated[
        Path | None, typer.Option(help="Keep the signed answers in this file.", show_default=False)
    ] = None,
    private: Annotated[
        bool,
        typer.Option("--private", help="With --subjects: hide from the provider who is not in its table."),
    ] = False,
    batch: Annotated[int, typer.Option(help="Checks in one call.", min=1, max=65536)] = 5000,
    check: Annotated[
        Path | None, typer.Option(help="Check a file of signed answers, offline.", show_default=False)
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    node: Node = None,
) -> None:
    """Ask a provider whether a predicate holds: yes, no or unknown, signed. Or check a signed answer.

    Exit status 0: answered; 77: refused, and the provider says no more than that; 76: an answer that is not proven.

        fedcredit verify --node parties/bank --provider water=10.0.0.7:7543 --certificate water.crt \\\\
            --predicate water_in_arrears --subject CODE --consent consent.jwt --proof answer.json
        fedcredit verify --node parties/bank --provider water=10.0.0.7:7543 --certificate water.crt \\\\
            --predicate water_in_arrears --subjects clients.csv --out answers.csv --proof answers.jsonl --private
        fedcredit verify --check answer.json --certificate water.crt
    """
    from fedcredit.cli import verify_asking as asking
    from fedcredit.errors import Problem, UsageError

    if certificate is None:
        what, fix = "is missing: without it no answer can be checked", "--certificate PROVIDER/signing.crt"
        raise UsageError(Problem("USAGE", "--certificate", what, fix))
    if check is not None:
        if provider is not None or subject is not None or subjects is not None:
            raise UsageError(Problem("USAGE", "--check", "asks nobody", "give a proof and a certificate alone"))
        asking.check_file(check, certificate, as_json=json_)
        return
    if provider is None or predicate is None or (subject is None) == (subjects is None):
        what = "takes --provider, --predicate, and --subject or --subjects"
        raise UsageError(Problem("USAGE", "verify", what, "fedcredit verify --help"))
    if subject is not None and private:
        what, fix = "is for a file of subjects", "give --subjects: of one alone there is nothing to hide among"
        raise UsageError(Problem("USAGE", "--private", what, fix))
    asked = asking.Asking.of(node, provider, certificate, predicate, param or [], purpose)
    if subject is not None:
        asked.one(subject, name or "", consent, proof, as_json=json_)
        return
    if out is None or subjects is None or consent is not None:
        what = "needs --out, and has the consents in its column" if consent is not None else "needs --out"
        raise UsageError(Problem("USAGE", "--subjects", what, "--out answers.csv"))
    asked.many(subjects, out, proof, batch, private=private, as_json=json_)

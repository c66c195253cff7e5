"""`fedcredit party`: look after a party's folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Look after a party's folder: keys, configuration, table, trust.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="The party's folder, with party.toml in it.", show_default=False)]


class Kind(StrEnum):
    """What a party is."""

    PROVIDER = "provider"
    INSTITUTION = "institution"
    PLATFORM = "platform"


@app.command("init")
def init(
    folder: Annotated[Path, typer.Argument(help="The folder to make.", show_default=False)],
    name: Annotated[
        str | None, typer.Option("--id", help="The party's name: a-z 0-9 _ -, at most 32.", show_default=False)
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="What the party is.", show_default=False)] = None,
    listen: Annotated[str, typer.Option(help="HOST:PORT of the node.")] = "127.0.0.1:7443",
    host: Annotated[list[str] | None, typer.Option(help="Name or address for certificates; repeatable.")] = None,
    table: Annotated[Path | None, typer.Option(help="The party's table, CSV or Parquet.")] = None,
    id_column: Annotated[str, typer.Option(help="The column of identifiers in it.")] = "uscc",
    label: Annotated[str | None, typer.Option(help="The column of outcomes in it, if there is one.")] = None,
    platform: Annotated[str, typer.Option(help="The name of the platform to join.")] = "platform",
    platform_address: Annotated[str | None, typer.Option(help="HOST:PORT of the platform's node.")] = None,
    relay: Annotated[bool, typer.Option("--relay", help="Only dial out: be reached through the platform.")] = False,
) -> None:
    """Make a party: its keys and certificates, its certificate request, party.toml and policy.toml.

    In a folder that has a party.toml already, such as those in parties/, only keys and certificates are made, and
    --host alone applies. Nothing is overwritten. The keys never leave FOLDER. Read both files, then: fedcredit party
    enrol.
    """
    from fedcredit.errors import Problem, UsageError
    from fedcredit.ids import party_id
    from fedcredit.node.trust.folder import fingerprint
    from fedcredit.node.trust.founding import NewParty, complete, found

    if name is None and kind is None and (folder / "party.toml").exists():
        me, authority = complete(folder, host or ())
        typer.echo(f"{me}: keys made in {folder / 'keys'}")
        typer.echo(f"fingerprint of its authority: {fingerprint(authority)}")
        return
    if name is None or kind is None:
        what = "are needed where there is no party.toml yet"
        raise UsageError(Problem("USAGE", "party init", f"--id and --kind {what}", "e.g. --id tax --kind provider"))
    address, port = _host_port(listen)
    new = NewParty(
        party_id(name),
        kind.value,
        address,
        port,
        tuple(host or ()),
        table,
        id_column,
        label,
        party_id(platform),
        platform_address,
        relay,
    )
    authority = found(folder, new)
    typer.echo(f"{new.id}: made in {folder}")
    typer.echo(f"fingerprint of its authority: {fingerprint(authority)}")


@app.command("enrol")
def enrol(
    folder: Folder,
    token: Annotated[Path, typer.Option(help="The token's file, from the platform.", show_default=False)],
    platform: Annotated[str | None, typer.Option(help="HOST:PORT to enrol at, if not the token's.")] = None,
    address: Annotated[str | None, typer.Option(help="Where others reach this party: HOST:PORT.")] = None,
) -> None:
    """Join the platform that made TOKEN, and pin it and its members.

    If it is cut off, run it again: the same request is sent.
    """
    import asyncio

    from fedcredit.node.trust.folder import fingerprint
    from fedcredit.node.trust.joining import enrol as join
    from fedcredit.node.trust.token import TokenFile
    from fedcredit.runtime.clock import SystemClock
    from fedcredit.runtime.config import load_party

    clock = SystemClock()
    config, found = load_party(folder), TokenFile.read(token, clock.now())
    directory = asyncio.run(join(config, found, clock, platform=platform, address=address))
    others = [member.party for member in directory.members if member.party != config.me]
    typer.echo(f"{config.me}: has joined {found.platform}; its authority is {fingerprint(found.authority)}")
    typer.echo(f"other members: {', '.join(others) or 'none yet'}")


@app.command("check")
def check(folder: Folder) -> None:
    """Check configuration, keys, trust, policy, store, ports, tables, questions: list every problem, start nothing."""
    from fedcredit.cli.table import reports_of
    from fedcredit.errors import ConfigError, DataError, FedcreditError
    from fedcredit.node.trust.check import problems_of
    from fedcredit.node.verification.check import check_verify
    from fedcredit.runtime.clock import SystemClock
    from fedcredit.runtime.config import load_party

    config = load_party(folder)
    problems = problems_of(config, SystemClock())
    kind: type[FedcreditError] = ConfigError
    tables = []
    for report in reports_of(config):
        if report.problems:
            kind = DataError if report.exit_status == DataError.exit_status and not problems else ConfigError
            problems.extend(report.problems)
        elif report.quality is not None:
            named = "table" if len(config.tables) == 1 else report.name
            tables.append(f"{named} of {report.quality.rows:,} rows and {len(report.quality.columns)} features")
    verified = check_verify(config, SystemClock())
    problems.extend(verified.problems)
    if problems:
        raise kind(problems)
    where = f"would listen on {config.listen.host}" if config.listens else "would listen nowhere"
    typer.echo(f"{config.me}: ok ({', '.join([config.party.kind, where, *tables, *verified.said])})")


@app.command("trust")
def trust(
    folder: Folder,
    party: Annotated[str | None, typer.Argument(help="A member whose authority to believe.")] = None,
    fingerprint: Annotated[str | None, typer.Option(help="Of its authority, as its people say it is.")] = None,
) -> None:
    """List whom this party believes, with fingerprints to compare by telephone; or believe PARTY's new authority."""
    from fedcredit.node.trust.confirm import believe, pins_of

    if party is not None:
        typer.echo(believe(folder, party, fingerprint))
        return
    for line in pins_of(folder):
        typer.echo(line)


@app.command("distrust")
def distrust(
    folder: Folder,
    party: Annotated[str, typer.Argument(help="Whom to believe no more.", show_default=False)],
    reason: Annotated[str, typer.Option(help="For your own people.")] = "by hand",
) -> None:
    """Believe nothing of PARTY any more: a running node cuts it off within a second, and ends the jobs with it."""
    from fedcredit.node.trust.confirm import distrust as refuse

    typer.echo(refuse(folder, party, reason))


@app.command("renew")
def renew(folder: Folder) -> None:
    """Make a new key and certificate for links now. A running node takes them up within a second."""
    from fedcredit.node.trust.confirm import renew as renew_leaf

    typer.echo(renew_leaf(folder))


@app.command("revoke")
def revoke(folder: Folder) -> None:
    """Withdraw all certificates for links made before now, and make a new one; others hear of it by the directory."""
    from fedcredit.node.trust.confirm import revoke as withdraw

    typer.echo(withdraw(folder))


def _host_port(text: str) -> tuple[str, int]:
    from fedcredit.errors import Problem, UsageError

    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65534:
        raise UsageError(Problem("USAGE", "--listen", "is not HOST:PORT"))
    return host.strip("[]"), int(port)

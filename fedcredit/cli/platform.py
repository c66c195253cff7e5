"""`fedcredit platform`: who may join a platform, and who is a member no more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Look after a platform's members: tokens, directory, revocation.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="The platform's folder, with party.toml in it.", show_default=False)]


@app.command("token")
def token(
    folder: Folder,
    party: Annotated[str, typer.Option(help="The party that may join.", show_default=False)],
    kind: Annotated[str, typer.Option(help="provider or institution.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The token's file, written with mode 0600.", show_default=False)],
    valid: Annotated[str, typer.Option(help="How long it may be used: 72h, 30m, 7d.")] = "72h",
) -> None:
    """Make a one-time token with which PARTY can join.

    Whoever has the file can join as that party: hand it over by a safe way. The node takes it within a second.
    """
    from fedcredit.node.trust.members import make_token

    made = make_token(folder, party, kind, out, valid)
    typer.echo(f"{out}: {made.party} ({made.kind}) may join {made.platform} until {made.expires:%F %T} UTC")


@app.command("revoke")
def revoke(
    folder: Folder,
    party: Annotated[str, typer.Argument(help="The member.", show_default=False)],
    reason: Annotated[str, typer.Option(help="For the log.", show_default=False)],
) -> None:
    """Let PARTY be a member no more: every node refuses it within seconds, and its jobs end."""
    from fedcredit.node.trust.members import revoke_member

    revoke_member(folder, party, reason)
    typer.echo(f"{party}: revoked, as soon as the platform's node runs")


@app.command("members")
def members(folder: Folder) -> None:
    """List the members of the directory that was signed last."""
    from fedcredit.node.trust.folder import fingerprint
    from fedcredit.node.trust.members import directory_of

    directory = directory_of(folder)
    typer.echo(f"{directory.platform}: directory {directory.serial}, {len(directory.members)} members")
    for member in directory.members:
        typer.echo(f"{member.party}  {member.kind}  {member.state}  {member.address}  {fingerprint(member.authority)}")

"""How a party joins a platform: it shows its token and its keys, and comes away with the pins of everybody there."""

from __future__ import annotations

from fedcredit import failpoints
from fedcredit.errors import ConfigError, Problem, RefusedError
from fedcredit.node.durable_files import replace_file
from fedcredit.node.pki import Authority, load_certificate, read_secret
from fedcredit.node.trust.directory import Directory
from fedcredit.node.trust.folder import Joined, fingerprint
from fedcredit.node.trust.keys import trust_folder
from fedcredit.node.trust.port import send_request
from fedcredit.node.trust.request import make_request
from fedcredit.node.trust.token import TokenFile
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import PartyFile
from fedcredit.transport.address import RELAYED
from fedcredit.wire.enrol import EnrolRequest
from fedcredit.wire.message import MessageInvalid

__all__ = ["enrol"]


async def enrol(
    config: PartyFile, token: TokenFile, clock: Clock, *, platform: str | None = None, address: str | None = None
) -> Directory:
    """Join the platform of `token`; gives its directory. `platform` is its enrolment port if not the token's.

    A run that was cut off is run again: the same request is sent, and gets the same answer.
    Raises: ConfigError, RefusedError (TOKEN_REFUSED), PeerLost, PeerError (DIRECTORY_INVALID).
    """
    _check(config, token)
    folder = trust_folder(config)
    assert folder is not None, "which was just checked"
    folder.create()
    kept = folder.path / "request.bin"
    request = _kept(config, token) or _make(config, token, address or _address(config))
    # What was sent is kept until it is answered, so that the token, used up by then, is still good for this.
    replace_file(kept, request.encode())
    failpoints.hit("enrol.request.kept", config.me)
    pinned = folder.pins().get(token.platform)
    if pinned is not None and pinned != token.authority:
        what = f"of {token.platform} is another than the one pinned: {fingerprint(pinned)}"
        fix = f"ask the platform; then remove {folder.path / 'pins' / (token.platform + '.pem')}"
        raise ConfigError(Problem("TRUST_CHANGED", "authority", what, fix))
    try:
        reply = await send_request(token, request, platform)
    except RefusedError:
        kept.unlink()
        raise
    folder.pin(token.platform, token.authority)
    folder.join(Joined(token.platform, token.node))
    folder.keep(reply, token.platform, pin_new=config.trust.new_members == "directory")
    found = folder.verify(reply, token.platform)
    failpoints.hit("enrol.reply.kept", config.me)
    kept.unlink()
    return found


def _check(config: PartyFile, token: TokenFile) -> None:
    problems = []
    if (config.me, config.party.kind) != (token.party, token.kind):
        what = f"is for {token.party}, a {token.kind}"
        problems.append(Problem("TOKEN_INVALID", "token", what, "ask the platform for one of this party"))
    if config.trust.platform != token.platform:
        what = f"says {config.trust.platform}, the token {token.platform}"
        problems.append(Problem("CONFIG_CONFLICT", "trust.platform", what, "mend party.toml"))
    if config.identity.authority is None or config.identity.authority_key is None:
        what = "a party that enrols has an authority of its own"
        problems.append(Problem("CONFIG_MISSING_KEY", "identity.authority_key", what, "run `fedcredit party init`"))
    if problems:
        raise ConfigError(problems)


def _kept(config: PartyFile, token: TokenFile) -> EnrolRequest | None:
    path = config.folder / "trust" / "request.bin"
    if not path.exists():
        return None
    try:
        request = EnrolRequest.decode(read_secret(path))
    except MessageInvalid:
        return None
    return request if request.secret == token.secret else None


def _make(config: PartyFile, token: TokenFile, address: str) -> EnrolRequest:
    identity = config.identity
    assert identity.authority is not None, "which was checked"
    assert identity.authority_key is not None, "which was checked"
    authority = Authority.load(config.path(identity.authority), config.path(identity.authority_key))
    signer = load_certificate(config.path(identity.signing_certificate))
    return make_request(authority, config.me, config.party.kind, address, signer, token.secret)


def _address(config: PartyFile) -> str:
    if not config.listens or config.relay.via is not None:
        return f"{RELAYED}{config.me}"
    listen = config.listen
    if listen.port == 0 or listen.host in ("0.0.0.0", "::"):  # noqa: S104 - it is refused
        what = "does not say where others reach this party"
        raise ConfigError(Problem("ADDRESS_MISSING", "listen", what, "give --address HOST:PORT, or join the relay"))
    return f"[{listen.host}]:{listen.port}" if ":" in listen.host else f"{listen.host}:{listen.port}"

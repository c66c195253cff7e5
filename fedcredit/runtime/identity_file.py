"""`[identity]`, `[trust]` and `[enrol]` of party.toml: a node's own keys, whom it believes, how others join.

```toml
[identity]
certificate = "keys/tls.crt"            # names the party in a URI SAN; renewed by the node itself
key = "keys/tls.key"                    # mode 0600
authority = "keys/authority.crt"        # this party's own certificate authority
authority_key = "keys/authority.key"    # mode 0600; leave it out if another program renews the certificate
lifetime_h = 24                         # of a certificate; a new one is made when half of that has passed
signing_key = "keys/signing.key"        # Ed25519; signs job specifications
signing_certificate = "keys/signing.crt"
[trust]                                 # the authorities of others are files in the folder trust/
platform = "platform"                   # the only peer that may start jobs here
new_members = "directory"               # believe parties that the platform newly lists; or "confirm" each by hand
[enrol]                                 # at a platform: where parties join
listen = "0.0.0.0:7444"
address = "platform.example:7444"       # the same as others see it; stands in the tokens
node = "platform.example:7443"          # the platform's own port, as others see it
```

A run on one machine has one authority for all its parties instead, `authorities = "keys/authorities.pem"`.
"""

from __future__ import annotations

import stat
from typing import Annotated, Literal

from pydantic import Field

from fedcredit.runtime.table_file import Name
from fedcredit.runtime.toml import Reader, Section
from fedcredit.transport.address import HOST_PORT

__all__ = ["EnrolSection", "IdentitySection", "TrustSection", "check_enrol", "check_file", "read_identity"]

HostPort = Annotated[str, Field(pattern=HOST_PORT, max_length=255)]

_SECRET = ("key", "signing_key", "authority_key")


class IdentitySection(Section):
    """`[identity]`: paths of keys and certificates, relative to the node's folder; never the keys themselves."""

    certificate: str = "keys/tls.crt"
    key: str = "keys/tls.key"
    authorities: str = "keys/authorities.pem"
    authority: str | None = None
    authority_key: str | None = None
    lifetime_h: Annotated[float, Field(gt=0, le=24 * 7)] = 24.0
    signing_key: str = "keys/signing.key"
    signing_certificate: str = "keys/signing.crt"

    @property
    def files(self) -> dict[str, str]:
        """The paths that have to be there, by key. A party with an authority of its own needs no common one."""
        dropped = "authorities" if self.authority is not None else "authority"
        values = {name: getattr(self, name) for name in type(self).model_fields if name not in ("lifetime_h", dropped)}
        return {name: value for name, value in values.items() if value is not None}


class TrustSection(Section):
    """`[trust]`: who may ask what. Everything else is denied."""

    platform: Name = "platform"
    operators: Annotated[tuple[Name, ...], Field(strict=False)] = ("operator",)
    new_members: Literal["directory", "confirm"] = "directory"


class EnrolSection(Section):
    """`[enrol]`: the platform's second port, for parties that have no certificate yet. `listen` empty: none."""

    listen: HostPort | None = None
    address: HostPort | None = None
    node: HostPort | None = None


def read_identity(reader: Reader, *, loopback: bool) -> IdentitySection | None:
    """The section, or None with its problems noted."""
    if "identity" not in reader.raw:
        if not loopback:
            what = "listens beyond this machine without TLS"
            reader.report("CONFIG_INSECURE", "listen.host", what, "add [identity], or listen on 127.0.0.1")
        reader.report("CONFIG_MISSING_KEY", "identity", "is missing", "add [identity]: every node proves who it is")
        return None
    raw = reader.raw["identity"]
    identity = reader.section("identity", raw, IdentitySection)
    if identity is None:
        return None
    if identity.authority is not None and isinstance(raw, dict) and "authorities" in raw:
        what = "one authority for all does not go together with one of this party's own"
        reader.report("CONFIG_CONFLICT", "identity.authorities", what, "drop it; others are pinned in trust/")
    if identity.authority is None and identity.authority_key is not None:
        reader.report("CONFIG_MISSING_KEY", "identity.authority", "is missing", "give the authority's certificate")
    for name, path in identity.files.items():
        check_file(reader, f"identity.{name}", path, "TLS_KEY_READABLE" if name in _SECRET else None)
    return identity


def check_enrol(reader: Reader, enrol: EnrolSection, kind: str) -> None:
    """Note what does not fit the party's kind."""
    if kind != "platform" and enrol != EnrolSection():
        reader.report("CONFIG_CONFLICT", "enrol", "parties join at a platform only", "drop [enrol]")
    elif enrol.listen is None and (enrol.address or enrol.node):
        reader.report("CONFIG_MISSING_KEY", "enrol.listen", "is missing", 'add listen = "host:port"')


def check_file(reader: Reader, key: str, relative: str, secret: str | None) -> None:
    """Note a file that is not there, or with the code `secret` one that others may read."""
    if "-----BEGIN" in relative:
        return  # Noted as a secret in the file already.
    try:
        status = (reader.path.parent / relative).stat()
    except (OSError, ValueError):
        reader.report("CONFIG_PATH", key, "does not exist", "give a path relative to this file")
        return
    if not stat.S_ISREG(status.st_mode):
        reader.report("CONFIG_PATH", key, "is not a file", "give the path of a file")
    elif secret is not None and status.st_mode & 0o077:
        reader.report(secret, key, "may be read by others on this machine", "chmod 600 the file")

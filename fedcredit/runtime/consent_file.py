"""`[consent]` of a platform's party.toml: how those who give consents prove who they are.

```toml
[consent]
authenticator = "local"                 # or the name of an installed one, see docs/consent.md
accounts = "accounts.json"              # of the local one; mode 0600, made by `fedcredit consent account add`
```
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fedcredit.runtime.toml import Section

__all__ = ["ConsentSection"]


class ConsentSection(Section):
    """`[consent]`: the login behind which consents are given."""

    authenticator: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")] = "local"
    accounts: Annotated[str, Field(min_length=1, max_length=255)] = "accounts.json"

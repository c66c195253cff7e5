"""A node's policy about models as its file says now. A file that is missing or wrong lets nobody do anything."""

from __future__ import annotations

from fedcredit.errors import ConfigError, Problem, RefusedError
from fedcredit.governance.registry.rules import MODEL_REFUSED, Asked, ModelRule, admit
from fedcredit.node.policy.source import PolicySource
from fedcredit.observe import logs

__all__ = ["admitted"]

_log = logs.get("policy")


def admitted(policy: PolicySource, asked: Asked) -> ModelRule:
    """The rule that lets `asked` through. Raises: RefusedError (MODEL_REFUSED) with every reason."""
    try:
        models = policy.current().models
    except ConfigError as error:
        _log.warning("policy.unusable", code=error.code)
        problems = [Problem(MODEL_REFUSED, "policy", "lets nobody do anything with models as it is"), *error.problems]
        raise RefusedError(problems) from None
    return admit(models, asked)

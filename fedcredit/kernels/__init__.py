"""The typed Python edge of the native kernels: shapes, dtypes and ranges are checked, then one call is made.

Importing this package refuses a native module that was built from another version than the Python around it.
"""

from __future__ import annotations

from fedcredit import __version__
from fedcredit.errors import ConfigError, Problem

__all__ = ["require_native"]


def require_native(found: str | None, wanted: str = __version__) -> None:
    """Check that the native module's version is the package's. Raises ConfigError (NATIVE_MISSING, NATIVE_VERSION)."""
    if found is None:
        raise ConfigError(
            Problem("NATIVE_MISSING", "fedcredit._native", "the native module is not built", "run `make setup`")
        )
    if found != wanted:
        raise ConfigError(
            Problem(
                "NATIVE_VERSION",
                "fedcredit._native",
                f"the native module is version {found}, the package is {wanted}",
                "rebuild both with `make setup`, or reinstall the package",
            )
        )


def _native_version() -> str | None:
    try:
        from fedcredit import _native
    except ModuleNotFoundError:
        return None
    return _native.__version__


require_native(_native_version())

"""Sharing catalogs: what a region's departments share, how, and with whose authorisation.

A catalog is data (`regions/REGION.toml`), so that a region's list can change while the system runs. It is read by
`fedcredit.runtime.catalog_file`; here is what it means.
"""

from fedcredit.governance.catalog.model import (
    SCHEMA,
    Catalog,
    FieldEntry,
    Item,
    Permission,
    Subset,
)

__all__ = ["SCHEMA", "Catalog", "FieldEntry", "Item", "Permission", "Subset"]

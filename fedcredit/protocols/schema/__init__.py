"""Whether members of a horizontal job have the same columns: `docs/protocols/schema.md`."""

from fedcredit.protocols.schema.roles import Compared, SchemaLeader, SchemaMember

__all__ = ["Compared", "SchemaLeader", "SchemaMember"]

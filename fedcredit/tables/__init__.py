"""Tables of a party: declared, checked as a whole, read as arrays."""

from fedcredit.tables.check import TableReport, check_table
from fedcredit.tables.identifiers import SubjectId, subject_id
from fedcredit.tables.quality import ColumnQuality, Quality
from fedcredit.tables.spec import OTHER, ColumnSpec, Limits, Resources, TableSpec, dump_spec, load_spec
from fedcredit.tables.table import Column, Rows, Table, infer, open_table

__all__ = [
    "OTHER",
    "Column",
    "ColumnQuality",
    "ColumnSpec",
    "Limits",
    "Quality",
    "Resources",
    "Rows",
    "SubjectId",
    "Table",
    "TableReport",
    "TableSpec",
    "check_table",
    "dump_spec",
    "infer",
    "load_spec",
    "open_table",
    "subject_id",
]

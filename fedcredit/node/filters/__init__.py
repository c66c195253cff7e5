"""Filters of mode unbalanced: what this party lends of its tables, what it holds of others', and what may be asked.

FOLDER/filters/lent/PEER/TABLE/      key, rows and versions of the filter that PEER may ask of TABLE
FOLDER/filters/held/PEER/TABLE/      the copy of PEER's filter of its TABLE
"""

"""The report of a job: one HTML file, with charts, that opens without a network."""

from fedcredit.report.render import render

__all__ = ["render"]

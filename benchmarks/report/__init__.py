"""The report of a results folder: report.html, report.md and report.csv, from its records alone."""

from benchmarks.report.write import write_report

__all__ = ["write_report"]

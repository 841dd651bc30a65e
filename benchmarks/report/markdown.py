"""report.md, in GitHub-flavoured Markdown; the README's tables are made beside, in readme.py."""

from __future__ import annotations

from benchmarks.report.gfm import code, escaped, lines, table_lines
from benchmarks.report.machines import list_machines
from benchmarks.report.readme import readme_table, replace_between_markers, update_file
from benchmarks.report.sections import Section, explanations, make_section, measured_between
from benchmarks.report.tables import Report

__all__ = ["readme_table", "render_markdown", "replace_between_markers", "update_file"]


def render_markdown(report: Report) -> str:
    """Returns report.md: environment, and per suite the outcome, the tables and what went wrong."""
    sections = [make_section(report, suite, with_pictures=False) for suite in report.suites]
    parts = ["# Benchmark report", f"Measured {measured_between(report.rows)}."]
    for machine in list_machines(report):
        parts.append("\n".join(f"* {name}: {escaped(text)}" for name, text in machine.facts))
        rows = [
            [escaped(run.commit), escaped(run.started_at), "<br>".join(map(code, run.commands))]
            for run in machine.runs
        ]
        parts.append(lines(["Commit", "Started", "Commands"], rows, {0, 1, 2}))
    for section in sections:
        parts += _section(section)
    parts.append("## Columns")
    parts.append("\n".join(f"* **{name}**: {text}" for name, text in explanations(sections)))
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> list[str]:
    parts = [f"## {section.title}", section.purpose]
    parts.append("\n".join(f"* {escaped(sentence)}" for sentence in section.outcome))
    for table in section.tables:
        parts += [f"### {section.title}: {table.title.lower()}", table_lines(table)]
    if section.not_measured:
        parts.append(f"Not measured in this suite: {', '.join(section.not_measured)}.")
    if section.problems:
        parts.append(f"### {section.title}: failed, skipped and noisy repeats")
        rows = [
            [*map(escaped, (p.case, p.contender, ", ".join(map(str, p.repeats)), p.what, p.reason))]
            for p in section.problems
        ]
        parts.append(lines(["Case", "Contender", "Repeats", "What", "Reason"], rows, {0, 1, 3, 4}))
    parts.append(f"### {section.title}: commands")
    parts.append(
        "\n".join(
            f"* {escaped(entry.case)}, {escaped(entry.contender)}: {code(command)}"
            for entry, command in section.commands
        )
    )
    return parts

"""The findings of a check as annotations of GitHub Actions."""

from typing import IO

from dbmanager.cli.formats.github import annotation, place
from dbmanager.cli.ratchet.outcome import Outcome


def write(outcome: Outcome, to: IO[str]) -> None:
    """Write a line for each finding."""
    for finding in outcome.findings:
        where = place(*outcome.where(finding))
        to.write(annotation("error", where, f"dbmanager check: {finding.kind}", finding.message))

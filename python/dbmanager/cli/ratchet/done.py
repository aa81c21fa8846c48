"""Services that are marked done, and are to have no direct calls any more."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import click

from dbmanager.cli.ratchet.baseline import Baseline, Row
from dbmanager.cli.ratchet.findings import Finding, Kind
from dbmanager.cli.ratchet.places import Place
from dbmanager.cli.ratchet.project import Project


def marked(
    baseline: Baseline, project: Project, done: Iterable[str], not_done: Iterable[str]
) -> Baseline:
    """Mark services as done, and others as not done any more.

    Raises:
        click.UsageError: The project has no such service, or it is not marked.
    """
    for service in done:
        if service not in project.services.values():
            known = ", ".join(sorted(set(project.services.values())))
            raise click.UsageError(f"there is no service '{service}'; there are {known}")
    for service in not_done:
        if service not in baseline.services_done:
            known = ", ".join(baseline.services_done) or "none"
            message = f"the service '{service}' is not marked done in {baseline.path} ({known} is)"
            raise click.UsageError(message)
    services = {*baseline.services_done, *done} - set(not_done)
    return replace(baseline, services_done=sorted(services))


def gone(baseline: Baseline, project: Project) -> list[Finding]:
    """Find the services marked done that the project does not have, or not under that name."""
    if not baseline.services_done:
        return []
    told = (
        "is marked done, and there is no such service; if it has another name now, mark that "
        "with --done; run with --update"
    )
    return [
        Finding(Kind.STALE, Row("services_done", service), f"stale row: {service} {told}")
        for service in baseline.services_done
        if service not in project.services.values()
    ]


def without_refused(
    before: Baseline, asked: Baseline, places: Iterable[Place]
) -> tuple[Baseline, Counter[str]]:
    """Take back the new marks of services that have calls; tell how many they have."""
    fresh = set(asked.services_done) - set(before.services_done)
    refused: Counter[str] = Counter()
    for place in places:
        if place.service in fresh:
            refused[place.service] += place.count
    services = [service for service in asked.services_done if service not in refused]
    return replace(asked, services_done=services), refused

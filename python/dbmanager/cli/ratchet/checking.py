"""A check from end to end: the baseline, the look at the project, the findings, the update."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from dbmanager.cli.formats.migration import counted
from dbmanager.cli.ratchet import baseline, done, findings, layout, shrinking
from dbmanager.cli.ratchet.baseline import Baseline, Row
from dbmanager.cli.ratchet.findings import Finding
from dbmanager.cli.ratchet.look import look
from dbmanager.cli.ratchet.outcome import Outcome
from dbmanager.cli.ratchet.places import Place
from dbmanager.cli.ratchet.project import Project, is_below


@dataclass(frozen=True)
class Wanted:
    """What is asked for."""

    file: Path
    """The baseline's."""
    paths: Sequence[Path]
    inventories: Sequence[Path]
    update: bool
    allow_new: bool
    done: Sequence[str]
    not_done: Sequence[str]
    all_kinds: bool | None
    """As in the baseline if it is None."""


def checked(wanted: Wanted) -> tuple[Outcome, list[str]]:
    """Check, and write the baseline if that is wanted. Gives the result, and what to tell of it.

    Raises:
        click.UsageError: It can't be done; the text says why, and nothing was written.
    """
    _check_options(wanted)
    known = _read(wanted) if wanted.file.exists() else None
    before = _with_kinds(known or _begun(wanted), wanted.all_kinds)
    project = Project(before.folder, before.paths)
    return _turned(wanted, project, before, is_first=known is None)


def _turned(
    wanted: Wanted, project: Project, before: Baseline, *, is_first: bool
) -> tuple[Outcome, list[str]]:
    """Compare the project with the baseline, and change that as it is wanted."""
    selected = _selected(project, wanted)
    found = look(project, before, wanted.inventories)
    asked = done.marked(before, project, wanted.done, wanted.not_done)
    after, refused = done.without_refused(before, asked, found.places)
    places = [
        place
        for place in found.places
        if is_below(place.row.file, selected) or place.service in refused
    ]
    stale = shrinking.stale(asked, found.places, project, selected)
    gone = done.gone(asked, project)
    if wanted.update:
        allow_new = wanted.allow_new or is_first
        after = _updated(after, places, stale, gone, allow_new=allow_new)
    told = [_of_refused(service, count) for service, count in sorted(refused.items())]
    if wanted.update or wanted.done or wanted.not_done:
        told += _written(after, before.rows, is_first=is_first)
    # Of a service that is refused, the calls that are in the way are told.
    strict = replace(after, services_done=asked.services_done)
    differences = findings.compare(strict, places, stale, tell_stale=not wanted.update)
    result = [*found.unreadable, *differences, *(() if wanted.update else gone)]
    calls = [place for place in places if place.row.section == "calls"]
    return Outcome(project, after, calls, found.run_time, result), told + _advice(result, wanted)


def _updated(
    known: Baseline,
    places: list[Place],
    stale: dict[Row, int],
    gone: list[Finding],
    *,
    allow_new: bool,
) -> Baseline:
    names = {finding.row.file for finding in gone}
    services = [service for service in known.services_done if service not in names]
    marked = replace(known, services_done=services)
    return shrinking.updated(marked, places, stale, allow_new=allow_new)


def _check_options(wanted: Wanted) -> None:
    if wanted.allow_new and not wanted.update:
        raise click.UsageError("--allow-new needs --update, which writes the baseline")
    if both := set(wanted.done) & set(wanted.not_done):
        raise click.UsageError(f"'{min(both)}' can't be marked both done and not done")


def _read(wanted: Wanted) -> Baseline:
    try:
        return baseline.read(wanted.file, after_merge=wanted.update)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error


def _begun(wanted: Wanted) -> Baseline:
    """Begin a baseline, where there is none."""
    if not wanted.update:
        message = f"there is no baseline {wanted.file}; `dbmanager check --update PATH` makes one"
        raise click.UsageError(message)
    if not wanted.paths:
        message = "name what the baseline is to be made from: `dbmanager check --update PATH`"
        raise click.UsageError(message)
    project = Project(wanted.file.absolute().parent, [])
    return Baseline(wanted.file, sorted({project.named(path) for path in wanted.paths}))


def _with_kinds(known: Baseline, all_kinds: bool | None) -> Baseline:
    return known if all_kinds is None else replace(known, all_kinds=all_kinds)


def _selected(project: Project, wanted: Wanted) -> list[str]:
    """Give the paths that count this time, which may be a part of the baseline's."""
    names = [project.named(path) for path in wanted.paths]
    for name in names:
        if not is_below(name, project.paths):
            made_from = ", ".join(project.paths)
            message = f"'{name}' is not in what the baseline is made from ({made_from}); "
            raise click.UsageError(message + f"add it to 'paths' in {wanted.file}")
    return names or project.paths


def _written(after: Baseline, before: dict[Row, int], *, is_first: bool) -> list[str]:
    try:
        is_new = layout.write(after)
    except OSError as error:
        raise click.UsageError(f"{after.path} can't be written: {error.strerror}") from error
    calls = counted(sum(after.rows.values()), "call")
    if is_first:
        return [f"{after.path} is new and allows {calls}"]
    if not is_new:
        return [f"{after.path} is up to date: {calls} allowed"]
    numbers = f"{calls} allowed, {sum(before.values())} before"
    return [f"{after.path} is written: {numbers}"]


def _of_refused(service: str, count: int) -> str:
    return f"{service} is not marked done: it has {count} direct call{'' if count == 1 else 's'}"


def _advice(differences: list[Finding], wanted: Wanted) -> list[str]:
    new = sum(finding.kind in findings.ALLOWABLE for finding in differences)
    if not new or not wanted.update:
        return []
    what = (
        "1 new call is not taken in: move it, or allow it"
        if new == 1
        else (f"{new} new calls are not taken in: move them, or allow them")
    )
    return [f"{what} with --allow-new"]

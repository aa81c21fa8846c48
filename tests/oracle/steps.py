"""Steps: run one scenario on both modules and compare them step by step.

A scenario is a test function whose argument ``run`` gives it the module and takes note of
what each step did. ``same_on_both`` makes a pytest test of it: the scenario runs on the
stdlib's ``sqlite3``, then on ``dbmanager.sqlite3``, each in a folder of its own, and the
two notes must be equal: outcomes, warnings, and errors that went to
``sys.unraisablehook``. Plain asserts in a scenario hold on both modules; they say what
the promise in the test's name means.
"""

import functools
import gc
import inspect
import re
import sqlite3
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import dbmanager.sqlite3
from tests.oracle.outcomes import Outcome, attempt, error_outcome, identity, normal, plain_text

ORACLE: ModuleType = sqlite3
SUBJECT: ModuleType = dbmanager.sqlite3
# Loaded by attribute, so that the stdlib's name cannot be taken for ours.
NAMES = {id(ORACLE): "sqlite3", id(SUBJECT): "dbmanager.sqlite3"}


@dataclass
class Note:
    """One step of a scenario: where it stands, what it did, what came of it."""

    line: int
    label: str
    outcome: Outcome

    def __str__(self) -> str:
        return f"line {self.line}: {self.label}\n      -> {self.outcome}"


@dataclass
class Run:
    """A scenario's run on one module.

    Calling it takes a step: ``value = run(connection.execute, "SELECT 1")`` notes the
    value or the error, and gives the value, or None after an error.
    """

    sqlite: ModuleType
    folder: Path
    notes: list[Note] = field(default_factory=list)
    _connections: list[Any] = field(default_factory=list)

    def __call__(self, step: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Any:
        """Take a step."""
        value, outcome = attempt(step, *arguments, **keywords)
        self._note(_label(step, arguments, keywords), outcome)
        return value

    def see(self, **values: object) -> None:
        """Note values by name, such as attributes of a connection."""
        for name, value in values.items():
            self._note(name, ("value", normal(value)))

    def error(self, error: BaseException) -> None:
        """Note an error that the scenario caught."""
        self._note("caught", error_outcome(error))

    def connect(self, *arguments: Any, **keywords: Any) -> Any:
        """Open a connection, in memory if nothing is said; it is closed after the run."""
        connection = self.sqlite.connect(*(arguments or (":memory:",)), **keywords)
        self._connections.append(connection)
        return connection

    def path(self, name: str = "test.db") -> str:
        """Give a path in the run's own folder."""
        return str(self.folder / name)

    def close(self) -> None:
        """Close what the scenario left open, in the order of opening."""
        for connection in self._connections:
            attempt(connection.close)

    def _note(self, label: str, outcome: Outcome) -> None:
        frame = sys._getframe(2)
        self.notes.append(Note(frame.f_lineno, label, outcome))


def _label(step: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> str:
    name = getattr(step, "__name__", type(step).__name__)
    shown = [f"{a!r:.80}" for a in arguments] + [f"{k}={v!r:.80}" for k, v in keywords.items()]
    return re.sub(r" at 0x[0-9a-f]+", "", f"{name}({', '.join(shown)})")


@contextmanager
def side_effects(run: Run) -> Iterator[None]:
    """Note what reaches nobody as a value: warnings and unraisable errors."""

    def unraisable(hook: Any) -> None:
        run.notes.append(
            Note(
                0,
                f"unraisable {hook.err_msg}",
                (error_outcome(hook.exc_value), _name(hook.object)),
            )
        )

    previous, sys.unraisablehook = sys.unraisablehook, unraisable
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    finally:
        sys.unraisablehook = previous
    for warning in caught:
        if "('?" in str(warning.message):
            # The first releases of Python 3.12 took a number (?1) for a name; ours never does.
            continue
        outcome = (identity(warning.category), plain_text(str(warning.message)))
        place = Path(warning.filename).name
        run.notes.append(Note(warning.lineno, f"warning in {place}", outcome))


def _name(thing: object) -> object:
    return getattr(thing, "__qualname__", type(thing).__name__)


@contextmanager
def own_garbage() -> Iterator[None]:
    """Collect what a run leaves, and nothing else, at the end of the run.

    So a finaliser's warning belongs to the run that it is noted in, and comes at the same
    step of both.
    """
    gc.disable()
    gc.freeze()
    try:
        yield
        gc.collect()
    finally:
        gc.unfreeze()
        gc.enable()


@contextmanager
def own_registries(module: ModuleType) -> Iterator[None]:
    """Forget afterwards which adapters and converters a scenario registered."""
    registries = (module.adapters, module.converters)
    before = [dict(registry) for registry in registries]
    try:
        yield
    finally:
        module.enable_callback_tracebacks(False)
        for registry, entries in zip(registries, before, strict=True):
            registry.clear()
            registry.update(entries)


def play(scenario: Callable[[Run], None], module: ModuleType, folder: Path) -> list[Note]:
    """Run a scenario on one module and give its notes."""
    here = folder / "run"
    here.mkdir()
    run = Run(module, here)
    with own_registries(module), side_effects(run), own_garbage():
        try:
            scenario(run)
        finally:
            run.close()
    # Both modules work under the same path, so that it may stand in outcomes.
    here.rename(folder / f"run_{len(list(folder.iterdir()))}")
    return run.notes


def compare(scenario: Callable[[Run], None], folder: Path) -> None:
    """Run a scenario on both modules; fail at the first step that differs."""
    __tracebackhide__ = True
    expected = play(scenario, ORACLE, folder)
    actual = play(scenario, SUBJECT, folder)
    if expected != actual:
        pytest.fail(_difference(expected, actual), pytrace=False)


def _difference(expected: list[Note], actual: list[Note]) -> str:
    count = min(len(expected), len(actual))
    at = next((n for n in range(count) if expected[n] != actual[n]), count)
    before = [f"  {note}" for note in expected[max(0, at - 3) : at]]
    return "\n".join(
        [
            f"step {at + 1} differs",
            *before,
            f"  {NAMES[id(ORACLE)]}: {expected[at] if at < len(expected) else 'no further step'}",
            f"  {NAMES[id(SUBJECT)]}: {actual[at] if at < len(actual) else 'no further step'}",
        ]
    )


def same_on_both(scenario: Callable[..., None]) -> Callable[..., None]:
    """Make a test of a scenario; its other arguments come from ``parametrize``."""
    signature = inspect.signature(scenario)
    others = [p for name, p in signature.parameters.items() if name != "run"]

    @functools.wraps(scenario)
    def test(tmp_path: Path, **arguments: Any) -> None:
        __tracebackhide__ = True
        compare(functools.partial(scenario, **arguments), tmp_path)

    folder = inspect.Parameter("tmp_path", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    test.__signature__ = signature.replace(parameters=[folder, *others])  # type: ignore[attr-defined]
    del test.__wrapped__  # type: ignore[attr-defined]
    return test

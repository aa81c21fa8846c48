"""W13: many databases in one process, leased uniformly at random.

An application with a database a customer leases now this one, now that one. Each has a
pool of its own, so a lease must not cost more for the number of pools, and idle
connections must not use up the descriptors of the process.
"""

import gc
import importlib
import os
import random
import resource
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benches.arena import Scale
from benches.contestants import open_stdlib
from benches.dataset import SEED, write

SELECT = "SELECT name FROM customer WHERE id = ?"
# A connection of a database in WAL mode has the file, the log and the shared memory open.
FILES = 3
# Descriptors that are not the pools'.
SPARE_FILES = 200
# How many connections may stay idle in the second part.
IDLE_LIMIT = 100
# As dbmanager has it when nobody sets it.
DEFAULT_IDLE = 256
COST_LIMIT = 1.5
# A round leases each of many databases about so often, and the one as often as all together.
LEASES_EACH = 4

# What is read between two leases, more than the processor's caches hold; how many leases.
WORK_BYTES = 96 << 20
LEASES_AFTER_WORK = 60

Use = Callable[[Any], object]


@dataclass(frozen=True)
class Cost:
    """Microseconds of one lease, by rounds: of one database, and of one among many."""

    name: str
    target: float | None
    one_us: Sequence[float]
    many_us: Sequence[float]

    def ratio(self) -> float:
        """Give by how much a lease among many costs more."""
        return median(self.many_us) / median(self.one_us)

    @property
    def met(self) -> bool:
        """Tell whether it costs no more than it may."""
        return self.target is None or self.ratio() <= self.target


@dataclass(frozen=True)
class Bound:
    """Descriptors of the process while all databases are leased with few idle connections."""

    idle_limit: int
    before: int
    most: int
    lease_us: float

    @property
    def limit(self) -> int:
        """Give how many there may be: those from before, the idle ones' and the lent one's."""
        return self.before + FILES * (self.idle_limit + 1)

    @property
    def met(self) -> bool:
        """Tell whether they stayed bounded."""
        return self.most <= self.limit


@dataclass(frozen=True)
class Fleet:
    """What was measured with many databases, or fewer than asked for if they did not fit."""

    asked: int
    databases: int
    costs: Sequence[Cost]
    descriptors: int
    bound: Bound


def measure(scale: Scale, folder: Path) -> Fleet:
    """Make the databases, measure the leases, then bound the idle connections and count."""
    module: Any = importlib.import_module("dbmanager")
    count = min(scale.databases, _room())
    # What earlier workloads left idle would take places, and descriptors.
    module.set_max_idle_connections(0)
    paths = _build(folder, scale.databases)
    control = _control(paths[:count], scale.rounds)
    managers = [module.DatabaseManager(f"sqlite:///{path}") for path in paths]
    module.set_max_idle_connections(count + 1)
    kept = managers[:count]
    for manager in kept:
        _read(manager)
    costs = [
        _cost("session() alone", COST_LIMIT, _enter, kept, scale.rounds),
        _cost("session() and a select", None, _read, kept, scale.rounds),
        _cost_after_work("session() after other work", _enter, kept, scale.rounds),
        _cost("os.stat() of the file alone", None, os.stat, paths[:count], scale.rounds),
        control,
    ]
    descriptors = _descriptors()
    bound = _bound(module, managers)
    for manager in managers:
        manager.close()
    module.set_max_idle_connections(DEFAULT_IDLE)
    return Fleet(scale.databases, count, costs, descriptors, bound)


def _room() -> int:
    """Raise the limit of descriptors to what is allowed; give how many databases fit."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return 1 << 30
    return (hard - SPARE_FILES) // FILES


def _build(folder: Path, count: int) -> list[Path]:
    template = folder / "template.db"
    write(
        template,
        (
            "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT)",
            "INSERT INTO customer VALUES (?, ?)",
        ),
        [(number, f"customer {number}") for number in range(10)],
    )
    paths = [folder / f"tenant_{number:05d}.db" for number in range(count)]
    for path in paths:
        shutil.copyfile(template, path)
    return paths


def _control(paths: Sequence[Path], rounds: int) -> Cost:
    """What so many open connections cost without any pool: their memory is not in the caches."""
    connections = [open_stdlib(path) for path in paths]
    cost = _cost("stdlib, open: a select", None, _select, connections, rounds)
    for connection in connections:
        connection.close()
    return cost


def _select(connection: Any) -> object:
    return connection.execute(SELECT, (7,)).fetchone()


def _enter(manager: Any) -> None:
    with manager.session():
        pass


def _read(manager: Any) -> object:
    with manager.session() as session:
        return _select(session)


def _cost(name: str, target: float | None, use: Use, all_: Sequence[Any], rounds: int) -> Cost:
    leases = LEASES_EACH * len(all_)
    among_many = random.Random(SEED).choices(all_, k=leases)
    of_one = [all_[0]] * leases
    one_us, many_us = [], []
    for number in range(rounds + 1):
        one, many = _lease_us(use, of_one), _lease_us(use, among_many)
        # The first round warms caches and is not counted.
        if number:
            one_us.append(one)
            many_us.append(many)
    return Cost(name, target, one_us, many_us)


def _cost_after_work(name: str, use: Use, all_: Sequence[Any], rounds: int) -> Cost:
    """As `_cost`, but the processor's caches hold neither the one nor the many."""
    among_many = random.Random(SEED).choices(all_, k=LEASES_AFTER_WORK)
    # Written, or all its pages would be one.
    work = b"." * WORK_BYTES
    one_us, many_us = [], []
    for number in range(rounds + 1):
        one = median(_single_us(use, all_[0], work) for _ in among_many)
        many = median(_single_us(use, manager, work) for manager in among_many)
        if number:
            one_us.append(one)
            many_us.append(many)
    return Cost(name, COST_LIMIT, one_us, many_us)


def _single_us(use: Use, manager: Any, work: bytes) -> float:
    work.find(b"x")
    start = time.perf_counter()
    use(manager)
    return (time.perf_counter() - start) * 1e6


def _lease_us(use: Use, managers: Sequence[Any]) -> float:
    gc.collect()
    start = time.perf_counter()
    for manager in managers:
        use(manager)
    return (time.perf_counter() - start) / len(managers) * 1e6


def _bound(module: Any, managers: Sequence[Any]) -> Bound:
    for manager in managers:
        manager.close_idle()
    before = _descriptors()
    module.set_max_idle_connections(IDLE_LIMIT)
    order = random.Random(SEED).sample(managers, k=len(managers))
    most, elapsed_s = before, 0.0
    for part in _parts(order, IDLE_LIMIT // 4):
        elapsed_s += _lease_us(_read, part) * len(part) / 1e6
        most = max(most, _descriptors())
    return Bound(IDLE_LIMIT, before, most, elapsed_s / len(order) * 1e6)


def _parts(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _descriptors() -> int:
    # Of the process itself: the list is open while it is read, now as before.
    return sum(1 for _ in Path("/proc/self/fd").iterdir())

"""The report: one plain table, the environment, and what each row does."""

import os
import platform
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from benches import scanning
from benches.arena import Measurement
from benches.contestants import Contestant, Presence
from benches.many import COST_LIMIT, FILES, Bound, Cost, Fleet
from benches.memory import LIMIT_KB, Growth
from benches.stall import NOISE, Stall
from benches.writers import THREADS, WORST_LIMIT_MS, Contention

MISSING = "-"
PEERS = (
    Contestant.APSW,
    Contestant.SQLALCHEMY,
    Contestant.SQLALCHEMY_CORE,
    Contestant.PEEWEE,
)


def environment(presences: Mapping[Contestant, Presence | None]) -> str:
    """Describe the machine and the contestants, the missing ones by name."""
    lines = [
        (
            f"Python {platform.python_version()} ({platform.python_implementation()}), "
            f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
        ),
        "file database, WAL, synchronous=NORMAL; garbage collector enabled for all",
    ]
    for contestant, presence in presences.items():
        if presence is None:
            lines.append(f"{contestant.value}: MISSING (pip install {contestant.package})")
        else:
            lines.append(
                f"{contestant.value}: {presence.version}, SQLite {presence.sqlite_version}"
            )
    return "\n".join(lines)


def ratios(measurements: Sequence[Measurement]) -> str:
    """Give the table of ratios to the stdlib; bigger is faster."""
    header = ["workload", "stdlib ms", "dbmanager", "target", "met"]
    header += [peer.value for peer in PEERS]
    return table(header, [_ratio_row(measurement) for measurement in measurements])


def _ratio_row(measurement: Measurement) -> list[str]:
    variant = measurement.variant
    ours = measurement.ratio(Contestant.DBMANAGER)
    stdlib_s = measurement.median_s(Contestant.STDLIB) or 0.0
    return [
        f"{variant.workload} {variant.name}",
        f"{stdlib_s * 1000:.1f}",
        _times(ours),
        _times(variant.target),
        MISSING if variant.target is None else _met(ours is not None and ours >= variant.target),
        *(_times(measurement.ratio(peer)) for peer in PEERS),
    ]


def contentions(measured: Sequence[Contention]) -> str:
    """Give the table of the writing threads: throughput, patience asked for, fairness."""
    header = [f"{THREADS} writers", "commits/s", "ratio", "target"]
    header += ["worst ms", "ever", "locked", "most/least", "target", "met"]
    rows = [
        _contention_row(contention, contestant)
        for contention in measured
        for contestant in contention.counted
    ]
    numbers = ", ".join(f"{c.discipline.workload} {c.discipline.commits}" for c in measured)
    note = (
        "Threads that begin IMMEDIATE, insert and commit, WAL; W8n synchronous=NORMAL, W8f FULL. "
        "stdlib: a connection a thread, isolation_level=None, a time-out that is never reached; "
        f"dbmanager: session(mode='write'). commits/s: a fixed number in all ({numbers}), drawn "
        "from one pot. worst: the longest transaction from before BEGIN to after COMMIT, median of "
        f"the rounds; ever: of all rounds; the limit is {WORST_LIMIT_MS:.0f} ms for worst. "
        "most/least served thread: all write for the same time. locked must be 0."
    )
    return table(header, rows) + "\n" + _wrapped(note)


def _contention_row(contention: Contention, contestant: Contestant) -> list[str]:
    asked, ours = contention.discipline, contestant is Contestant.DBMANAGER
    return [
        f"{asked.workload} {contestant.value}",
        f"{contention.commits_per_s(contestant):.0f}",
        _times(contention.ratio()) if ours else MISSING,
        _times(asked.ratio_target) if ours else MISSING,
        f"{contention.worst_ms(contestant):.1f}",
        f"{contention.worst_ever_ms(contestant):.1f}",
        str(contention.locked(contestant)),
        f"{contention.spread(contestant):.2f}",
        f"< {asked.spread_target}" if ours and asked.spread_target else MISSING,
        _met(contention.met) if ours else MISSING,
    ]


def fleet(measured: Fleet) -> str:
    """Give the tables of many databases: what a lease costs, how many descriptors are open."""
    header = ["W13 lease", "one us", "many us", "cost", "target", "met"]
    costs = [_cost_row(cost) for cost in measured.costs]
    fewer = (
        ""
        if measured.databases == measured.asked
        else (
            f" ({measured.asked} were asked for; with {FILES} descriptors each, no more fit into "
            "the hard limit RLIMIT_NOFILE)"
        )
    )
    note = (
        f"{measured.databases} databases{fewer}, each with one idle connection "
        f"({measured.descriptors} descriptors), leased uniformly at random, against one database "
        f"leased as often; smaller is better, at most {COST_LIMIT}. stdlib: the same with as many "
        "open connections and no pool, for what the processor's caches cost. After other work: "
        "before each lease so much memory is read that the caches hold nothing of either."
    )
    bound = measured.bound
    bound_header = ["W13 descriptors", "before", "most", "limit", "lease us", "met"]
    bound_note = (
        f"All {measured.asked} databases leased once each, in random order, with "
        f"set_max_idle_connections({bound.idle_limit}); most: counted in /proc/self/fd every "
        f"{bound.idle_limit // 4} leases; lease: with opening and closing."
    )
    return "\n".join(
        [
            table(header, costs),
            _wrapped(note),
            "",
            table(bound_header, [_bound_row(bound)]),
            _wrapped(bound_note),
        ]
    )


def _cost_row(cost: Cost) -> list[str]:
    return [
        cost.name,
        f"{median(cost.one_us):.2f}",
        f"{median(cost.many_us):.2f}",
        _times(cost.ratio()),
        _times(cost.target),
        MISSING if cost.target is None else _met(cost.met),
    ]


def _bound_row(bound: Bound) -> list[str]:
    return [
        f"{bound.idle_limit} idle connections",
        str(bound.before),
        str(bound.most),
        str(bound.limit),
        f"{bound.lease_us:.0f}",
        _met(bound.met),
    ]


def scan(measured: scanning.Scan) -> str:
    """Tell how long the scan of the tree took, and the others beside it."""
    ours = median(measured.scan_s)
    header = ["W12", "seconds", "times the scan"]
    rows = [
        [f"dbmanager scan, {measured.calls:,} calls", f"{ours:.2f}", "1.00"],
        *(
            [name, f"{median(seconds):.2f}", f"{median(seconds) / ours:.2f}"]
            for name, seconds in (
                ("grep -r for a word", measured.search_s),
                ("ast.parse of the files with it", measured.parse_s),
            )
        ),
    ]
    size = f"{measured.files:,} files, {measured.bytes / 1e6:,.0f} MB"
    target = f"target {scanning.TARGET_S:.0f} s for {scanning.FILES:,}: {_met(measured.met)}"
    return f"{table(header, rows)}\n{size}; {target}"


def stalls(measured: Sequence[Stall]) -> str:
    """Give the table of another thread's gaps, in ms; smaller is better."""
    header = ["stall during", "stdlib worst", "dbmanager worst", "met"]
    header += ["stdlib p99.99", "dbmanager p99.99"]
    rows = [
        [
            stall.query,
            f"{stall.worst_ms(Contestant.STDLIB):.2f} ms",
            f"{stall.worst_ms(Contestant.DBMANAGER):.2f} ms",
            _met(stall.met),
            f"{stall.p9999_ms(Contestant.STDLIB):.3f} ms",
            f"{stall.p9999_ms(Contestant.DBMANAGER):.3f} ms",
        ]
        for stall in measured
    ]
    rounds = min(len(seen) for stall in measured for seen in stall.rounds.values())
    note = (
        "A second Python thread's longest pause between two ticks while the main thread runs "
        f"the query; medians of {rounds} rounds; met: ours is at most {NOISE} of the stdlib's."
    )
    return table(header, rows) + "\n" + _wrapped(note)


def memory(growth: Growth) -> str:
    """Give the growth of the peak resident size while iterating."""
    header = ["memory", *(contestant.value for contestant in growth.growth_kb), "limit", "met"]
    row = [
        f"iterate {growth.rows} rows",
        *(f"{kb} KB" for kb in growth.growth_kb.values()),
        f"{LIMIT_KB} KB",
        _met(growth.met),
    ]
    note = "Growth of the peak resident size after the first 1000 rows, a process each."
    return table(header, [row]) + "\n" + _wrapped(note)


def notes(measurements: Iterable[Measurement]) -> str:
    """Say what each row does, for whom."""
    return "\n".join(
        _wrapped(f"{m.variant.workload} {m.variant.name}: {m.variant.note}") for m in measurements
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align columns: the first to the left, the others to the right."""
    widths = [max(len(line[n]) for line in [header, *rows]) for n in range(len(header))]

    def aligned(cells: Sequence[str]) -> str:
        first, *others = cells
        right = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        return "  ".join([first.ljust(widths[0]), *right]).rstrip()

    return "\n".join([aligned(header), "  ".join("-" * w for w in widths), *map(aligned, rows)])


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100, initial_indent="* ", subsequent_indent="  ")


def _times(ratio: float | None) -> str:
    if ratio is None:
        return MISSING
    return f"{ratio:.0f}x" if ratio >= 100 else f"{ratio:.2f}x"


def _met(met: bool) -> str:
    return "yes" if met else "NO"

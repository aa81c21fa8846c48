"""The command: choose workloads, measure, print, and write the figures if asked."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benches import (
    aggregation,
    arena,
    insertion,
    lease,
    lookup,
    many,
    memory,
    report,
    result_set,
    scanning,
    stall,
    threads,
    user_function,
    writers,
)
from benches.contestants import Contestant, Presence, present

WORKLOADS: Mapping[str, Callable[[arena.Scale], list[arena.Variant]]] = {
    "W1": lease.variants,
    "W2": lookup.variants,
    "W3": insertion.bulk_variants,
    "W4": insertion.loop_variants,
    "W5": result_set.variants,
    "W6": aggregation.variants,
    "W7": threads.variants,
    "W10": user_function.variants,
}
DEFAULT = (*WORKLOADS, "W8", "W13", "memory")
# Minutes, nearly all of them the stdlib's: measured when named.
ALL = (*DEFAULT, "W12", "stall")


@dataclass
class Results:
    """Everything that one run measured."""

    ratios: list[arena.Measurement] = field(default_factory=list)
    contentions: list[writers.Contention] = field(default_factory=list)
    fleet: many.Fleet | None = None
    stalls: list[stall.Stall] = field(default_factory=list)
    scan: scanning.Scan | None = None
    growth: memory.Growth | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen workloads; 2 when there is nothing to measure."""
    options = _options(arguments)
    if Contestant.DBMANAGER.load() is None:
        print("benches: dbmanager is not importable; build it first (make dev)", file=sys.stderr)
        return 2
    presences = {contestant: present(contestant) for contestant in Contestant}
    scale = arena.QUICK if options.quick else arena.Scale()
    results = _measure(options.workloads or DEFAULT, scale, presences)
    _print(results, presences, scale, quick=options.quick)
    if options.json:
        options.json.write_text(json.dumps(_figures(results, presences), indent=1) + "\n")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    parser.add_argument(
        "workloads",
        nargs="*",
        metavar="WORKLOAD",
        help=f"any of {' '.join(ALL)}; default all but W12 and stall",
    )
    parser.add_argument("--quick", action="store_true", help="less work, rougher figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    options = parser.parse_args(arguments)
    names = {name.lower(): name for name in ALL}
    unknown = [name for name in options.workloads if name.lower() not in names]
    if unknown:
        parser.error(f"unknown workload {', '.join(unknown)}; choose from {' '.join(ALL)}")
    options.workloads = [names[name.lower()] for name in options.workloads]
    return options


def _measure(
    names: Sequence[str],
    scale: arena.Scale,
    presences: Mapping[Contestant, Presence | None],
) -> Results:
    results = Results()
    here = [contestant for contestant, presence in presences.items() if presence]
    for name in names:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="benches-") as scratch:
            folder = Path(scratch)
            if name == "stall":
                results.stalls = stall.measure(scale, folder)
            elif name == "W8":
                results.contentions = writers.measure(scale, folder)
            elif name == "W12":
                results.scan = scanning.measure(scale, folder)
            elif name == "W13":
                results.fleet = many.measure(scale, folder)
            elif name == "memory":
                results.growth = memory.measure(scale.memory_rows, folder)
            else:
                results.ratios += _workload(WORKLOADS[name](scale), here, scale, folder)
    return results


def _workload(
    variants: Sequence[arena.Variant],
    here: Sequence[Contestant],
    scale: arena.Scale,
    folder: Path,
) -> list[arena.Measurement]:
    measurements = []
    for number, variant in enumerate(variants):
        own = folder / str(number)
        own.mkdir()
        measurements.append(arena.measure(variant, here, scale.rounds, own))
    return measurements


def _print(
    results: Results,
    presences: Mapping[Contestant, Presence | None],
    scale: arena.Scale,
    *,
    quick: bool,
) -> None:
    print(report.environment(presences))
    print(f"{scale.rounds} interleaved rounds after one to warm up; medians", end="")
    print("; QUICK: a tenth of the work, do not quote\n" if quick else "\n")
    if results.ratios:
        print("Times as fast as the stdlib:\n")
        print(report.ratios(results.ratios), "\n")
        print(report.notes(results.ratios), "\n")
    if results.contentions:
        print(report.contentions(results.contentions), "\n")
    if results.fleet:
        print(report.fleet(results.fleet), "\n")
    if results.scan:
        print(report.scan(results.scan), "\n")
    if results.stalls:
        print(report.stalls(results.stalls), "\n")
    if results.growth:
        print(report.memory(results.growth))


def _figures(
    results: Results, presences: Mapping[Contestant, Presence | None]
) -> dict[str, object]:
    return {
        "environment": report.environment(presences).splitlines(),
        "ratios": [
            {
                "workload": m.variant.workload,
                "variant": m.variant.name,
                "target": m.variant.target,
                "ratio": {c.value: m.ratio(c) for c in m.rounds_s},
                "rounds_s": {c.value: list(seconds) for c, seconds in m.rounds_s.items()},
            }
            for m in results.ratios
        ],
        "writers": [
            {
                "workload": c.discipline.workload,
                "ratio": c.ratio(),
                "commits_per_s": _by_contestant(c, writers.Contention.commits_per_s),
                "worst_ms": _by_contestant(c, writers.Contention.worst_ms),
                "worst_ever_ms": _by_contestant(c, writers.Contention.worst_ever_ms),
                "locked": _by_contestant(c, writers.Contention.locked),
                "spread": _by_contestant(c, writers.Contention.spread),
            }
            for c in results.contentions
        ],
        "many": _fleet(results.fleet) if results.fleet else None,
        "stall": [
            {
                "query": s.query,
                "worst_ms": {c.value: [g.worst_ms for g in s.rounds[c]] for c in s.rounds},
                "p9999_ms": {c.value: [g.p9999_ms for g in s.rounds[c]] for c in s.rounds},
            }
            for s in results.stalls
        ],
        "memory_growth_kb": {c.value: kb for c, kb in results.growth.growth_kb.items()}
        if results.growth
        else None,
    }


def _by_contestant(
    contention: writers.Contention,
    figure: Callable[[writers.Contention, Contestant], float],
) -> dict[str, float]:
    return {contestant.value: figure(contention, contestant) for contestant in contention.counted}


def _fleet(fleet: many.Fleet) -> dict[str, object]:
    return {
        "databases": fleet.databases,
        "descriptors": fleet.descriptors,
        "costs": [
            {
                "lease": cost.name,
                "target": cost.target,
                "ratio": cost.ratio(),
                "one_us": list(cost.one_us),
                "many_us": list(cost.many_us),
            }
            for cost in fleet.costs
        ],
        "bound": {
            "idle_limit": fleet.bound.idle_limit,
            "descriptors": fleet.bound.most,
            "limit": fleet.bound.limit,
            "lease_us": fleet.bound.lease_us,
        },
    }


if __name__ == "__main__":
    sys.exit(main())

"""Print the results as tables that a person reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from benchmarks.bars import OURS, Judged, judged
from benchmarks.results import Outcome, Results

_NONE = "-"
ONE, TWO = "echotime-x1", "echotime-x2"
_PERCENTILES = ("p50", "p99", "p999")


def text(results: Results) -> str:
    """Return all tables, the bars, and in the last lines what is missing in them."""
    return "\n".join(_lines(results)) + "\n"


def _lines(results: Results) -> Iterator[str]:
    yield ", ".join(f"{name} {value}" for name, value in results.made_with.items())
    yield f"medians of {results.rounds} rounds of {results.seconds:g} s, all servers in turn in each round"
    if working := results.working:
        yield from _titled("Work per second of server CPU time")
        yield from _table(results, working, _work, [each.workload.unit for each in working])
        if any(outcome.median(OURS, "per_cpu_second") for outcome in working):
            yield from _titled(f"{OURS} / other: the median of the ratios of the rounds")
            yield from _table(results, working, _ratio)
        yield from _titled("How far apart the rounds are: (most - least) / median")
        yield from _table(results, working, _spread)
    if timed := [each for each in working if each.workload.has_latency]:
        yield from _titled("Latency in microseconds: median / 99 % / 99.9 %")
        yield from _table(results, timed, _latency)
    if idle := results.idle:
        yield from _titled(f"{idle.workload.what}: growth of VmRSS for each, and share of a CPU that all take")
        yield from _table(results, [idle], _idle)
    if shared := [each for each in working if each.ratio(TWO, ONE)]:
        yield from _titled("Two workers on one socket, each on a CPU, compared with one; a load on each CPU")
        yield from aligned([["", *(each.workload.name for each in shared)], *_sharing(shared)])
    if bars := list(judged(results)):
        yield from _titled("Bars: the median of the rounds, and their range")
        for line, each in zip(aligned(_bar(each) for each in bars), bars, strict=True):
            verdict = f"reached by {each.margin:.0%}" if each.reached else f"missed by {-each.margin:.0%}"
            yield f"{line}  {verdict}"
    yield from _notes(results)
    yield from _missing(results)


def _titled(title: str) -> Iterator[str]:
    yield ""
    yield title


def _table(
    results: Results, outcomes: Sequence[Outcome], cell: Callable[[Outcome, str], str], units: Sequence[str] = ()
) -> Iterator[str]:
    rows = [["", *(each.workload.name for each in outcomes)]]
    if units:
        rows.append(["", *units])
    for server in results.servers:
        cells = [cell(outcome, server.name) for outcome in outcomes]
        if any(each != _NONE for each in cells):
            rows.append([server.name + ("*" if server.note else ""), *cells])
    yield from aligned(rows)


def _bar(bar: Judged) -> list[str]:
    return [f"{bar.workload:12}{bar.demand}", f"{bar.found:.2f}", f"{bar.least:.2f} to {bar.most:.2f}"]


def aligned(lines: Iterable[Sequence[str]]) -> Iterator[str]:
    """Return lines with aligned columns, the first to the left."""
    rows = list(lines)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for name, *cells in rows:
        yield "  ".join(
            [name.ljust(widths[0]), *(each.rjust(width) for each, width in zip(cells, widths[1:], strict=True))]
        )


def _work(outcome: Outcome, server: str) -> str:
    work = outcome.median(server, "per_cpu_second")
    return _NONE if work is None else f"{work / outcome.workload.scale:.1f}"


def _spread(outcome: Outcome, server: str) -> str:
    work = outcome.median(server, "per_cpu_second")
    if not work:
        return _NONE
    rounds = [each["per_cpu_second"] for each in outcome.rounds[server]]
    return f"{(max(rounds) - min(rounds)) / work:.0%}"


def _ratio(outcome: Outcome, server: str) -> str:
    return _NONE if server == OURS else _shown(outcome.ratio(OURS, server))


def _sharing(outcomes: Sequence[Outcome]) -> Iterator[list[str]]:
    yield ["work of two CPUs of two workers / of one CPU of one", *(_twice(each.ratio(TWO, ONE)) for each in outcomes)]
    shares = [each.median(TWO, "busiest_share") or 0 for each in outcomes]
    yield ["share of the busier worker in the CPU time", *(f"{each:.0%}" for each in shares)]


def _twice(ratio: float | None) -> str:
    """Return the work per CPU second, times two CPUs, of two workers in that of one on one CPU."""
    return _shown(None if ratio is None else 2 * ratio)


def _shown(ratio: float | None) -> str:
    return _NONE if ratio is None else f"{ratio:.2f}"


def _latency(outcome: Outcome, server: str) -> str:
    found = [outcome.median(server, each) for each in _PERCENTILES]
    return " / ".join(_NONE if each is None else f"{each:.0f}" for each in found) if found[0] else _NONE


def _idle(outcome: Outcome, server: str) -> str:
    memory, share = (outcome.median(server, each) for each in ("rss_per_connection", "cpu_share"))
    return _NONE if memory is None or share is None else f"{memory / 1024:.2f} KB  {share:.2%}"


def _notes(results: Results) -> Iterator[str]:
    names: dict[str, list[str]] = {}
    for server in results.servers:
        names.setdefault(server.note, []).append(server.name)
    notes = [f"*{', '.join(those)}: {note}" for note, those in names.items() if note]
    if notes:
        yield ""
        yield from notes


def _missing(results: Results) -> Iterator[str]:
    if missing := [f"{name}: {reason}" for name, reason in results.left_out.items()]:
        yield from _titled("NOT MEASURED, so missing in the tables and bars above:")
        yield from missing
    failed = [
        f"{name} at {outcome.workload.name}: {reason}"
        for outcome in results.outcomes
        for name, reason in outcome.failures.items()
    ]
    if failed:
        yield from _titled("FAILED, so missing in the tables and bars above:")
        yield from failed

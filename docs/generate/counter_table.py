"""Make the table of counters in docs/monitoring.md from the declarations in echotime/counters.py."""

from __future__ import annotations

from pathlib import Path

from echotime.counters import Counter, ReplyCounters, ServiceCounters, declared

_BEGIN, _END = "<!-- counters -->\n", "<!-- /counters -->\n"


def monitoring_page() -> str:
    """Return docs/monitoring.md with a current table."""
    page = Path(__file__).parents[1] / "monitoring.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    lines = ["| counter | meaning | in the log |", "|---|---|---|", *map(_row, declared(ServiceCounters))]
    lines += [_row(each._replace(name=f"questions_{each.name}")) for each in declared(ReplyCounters)]
    return "".join([before, _BEGIN, "\n", *(f"{line}\n" for line in lines), "\n", _END, after])


def _row(counter: Counter) -> str:
    return f"| `{counter.name}` | {counter.help} | {f'`{counter.log_name}`' if counter.log_name else ''} |"

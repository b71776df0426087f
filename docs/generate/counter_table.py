"""Make the table of counters in docs/monitoring.md from the declarations in echotime/counters.py."""

from __future__ import annotations

from pathlib import Path

from echotime.counters import Counter, LogCounters, RecordCounters, ReplyCounters, ServiceCounters, declared

_BEGIN, _END = "<!-- counters -->\n", "<!-- /counters -->\n"


def monitoring_page() -> str:
    """Return docs/monitoring.md with a current table."""
    page = Path(__file__).parents[1] / "monitoring.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    lines = ["| counter | meaning | in the log | metric |", "|---|---|---|---|"]
    for group in (ServiceCounters, LogCounters, RecordCounters, ReplyCounters):
        lines += [_row(group.prefix, each) for each in declared(group)]
    return "".join([before, _BEGIN, "\n", *(f"{line}\n" for line in lines), "\n", _END, after])


def _row(prefix: str, counter: Counter) -> str:
    family, label, value = counter.metric
    metric = f"echotime_{family}_total" + f'{{{label}="{value}"}}' * bool(label)
    log = f"`{counter.log_name}`" * bool(counter.log_name)
    return f"| `{prefix}{counter.name}` | {counter.help} | {log} | `{metric}` |"

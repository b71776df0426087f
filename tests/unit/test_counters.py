"""Test the declarations of counters, whose names users see in JSON, journal fields and metrics."""

from __future__ import annotations

from echotime.counters import METRIC_HELP, LogCounters, RecordCounters, ReplyCounters, ServiceCounters, declared

SERVICE = """
    connections empty_connections messages bytes_in bytes_out datagrams quiet_connections quiet_datagrams
    refused_connections refused_source_limit refused_connection_limit refused_no_proxy_header
    refused_proxy_header evicted idle_timeouts half_closed_timeouts session_timeouts
    refused_unspecified_source refused_own_address refused_low_port refused_broadcast refused_datagrams
    refused_rate_limit refused_unsynced refused_loop health_checks
"""
REPLIES = "queued unattended beyond_limit stopped answered expired abandoned given_up"

LOG = RECORD = "lines_lost"
GROUPS = (ServiceCounters, ReplyCounters, LogCounters, RecordCounters)


def test_public_names() -> None:
    """The public names of counters stay, whatever is renamed in the code; a new counter is added here."""
    assert [each.name for each in declared(ServiceCounters)] == SERVICE.split()
    assert [each.name for each in declared(ReplyCounters)] == REPLIES.split()
    assert [each.name for each in declared(LogCounters)] == LOG.split()
    assert [each.name for each in declared(RecordCounters)] == RECORD.split()


def test_help() -> None:
    """Every counter has a sentence of help, and every refusal a name in the log."""
    for each in (each for group in GROUPS for each in declared(group)):
        assert each.help.endswith(".")
        assert each.log_name or not each.name.startswith("refused_")


def test_metrics() -> None:
    """Every counter has a metric of its own, and a metric that shows several counters has a help text."""
    metrics = [each.metric for group in GROUPS for each in declared(group)]
    assert len(set(metrics)) == len(metrics)
    assert {each.family for each in metrics if each.label} == set(METRIC_HELP)
    by_name = {each.name: each.metric for group in GROUPS[:-1] for each in declared(group)}
    assert by_name["messages"] == ("messages", "", "")
    assert by_name["refused_source_limit"] == ("connections_refused", "reason", "source limit")
    assert by_name["refused_loop"] == ("datagrams_unanswered", "reason", "loop")
    assert by_name["beyond_limit"] == ("questions", "outcome", "beyond limit")
    assert by_name["lines_lost"] == ("log_lines_lost", "", "")
    assert [each.metric for each in declared(RecordCounters)] == [("record_lines_lost", "", "")]


def test_derived_figures() -> None:
    """Refused connections, handled datagrams and the log's refusals are sums of what is declared as such."""
    counters = ServiceCounters(datagrams=1, refused_loop=2, refused_connections=4, evicted=8, messages=16)
    assert (counters.datagrams_handled, counters.connections_refused) == (3, 4)
    assert counters.refusals() == {
        "connections refused (access list)": 4,
        "connections evicted (connection limit)": 8,
        "datagrams refused (loop)": 2,
    }

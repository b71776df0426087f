"""Tests of the metrics with Prometheus, promtool and blackbox_exporter: make test-prometheus."""

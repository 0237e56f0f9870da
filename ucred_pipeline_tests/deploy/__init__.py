"""Tests of the files for Prometheus, Alertmanager and Grafana, by the programs that read them."""

"""Files for Prometheus, Alertmanager and Grafana, made from the catalogue of alerts and its thresholds."""

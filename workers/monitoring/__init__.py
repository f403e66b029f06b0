"""Alerts for people, metrics for Prometheus, health checks, and the configuration of logs."""

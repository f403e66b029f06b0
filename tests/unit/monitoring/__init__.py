"""Alerts and logs."""

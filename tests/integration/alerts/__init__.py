"""Alerts: people are told by one worker of all, once for each trouble."""

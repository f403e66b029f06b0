"""Polar's API: requests, lists, responses."""

"""Sends credit events to the storefront."""

"""The desk: pages on which operators see what became of webhooks, and act on it."""

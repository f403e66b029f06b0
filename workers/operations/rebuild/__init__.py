"""``credits rebuild``: reads the ledger back from Polar after Redis was lost."""

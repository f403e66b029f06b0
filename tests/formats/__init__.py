"""What each format stored: a small ledger, recorded when the format was new, and never changed after."""

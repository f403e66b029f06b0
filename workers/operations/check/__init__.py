"""``credits check``: checks the settings, the rules and Redis, and compares the rules with Polar."""

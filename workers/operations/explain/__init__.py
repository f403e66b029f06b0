"""Explains why a webhook was credited or not: the explanation (pure), and the lookup of what it needs."""

"""``credits adjust``: brings what a rule gave earlier orders to what it says today."""

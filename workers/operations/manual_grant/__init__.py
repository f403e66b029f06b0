"""``credits grant``: credits by hand, for one customer or a file of them."""

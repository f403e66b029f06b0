"""``credits init``: reads what Polar has, plans what is missing, and writes and creates it."""

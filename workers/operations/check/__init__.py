"""``credits check``: compares the token, the meters and the products at Polar with the rules."""

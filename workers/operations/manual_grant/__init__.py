"""Manual_grant."""

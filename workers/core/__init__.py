"""What a webhook is worth, and why: pure functions and frozen values."""

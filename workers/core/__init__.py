"""Pure functions and frozen values that decide what a webhook is worth, and why."""

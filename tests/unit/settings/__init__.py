"""Settings, durations and the rulebook."""

"""The clock of a real Redis server is moved, forward and back."""

"""The receiver and the workers as supervised processes."""

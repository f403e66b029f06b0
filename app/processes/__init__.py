"""The receiver, the workers and the background process as supervised processes."""

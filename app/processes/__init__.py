"""The receiver, the workers and the reconciler as supervised processes."""

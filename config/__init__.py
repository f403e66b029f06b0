"""Policy: what the operator decides, read once at the edge."""

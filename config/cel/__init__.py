"""The only user of CEL: expressions, conditions, amounts."""

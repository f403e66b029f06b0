"""CEL expressions."""

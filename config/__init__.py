"""Configuration: the settings and the rules, read and checked once at startup."""

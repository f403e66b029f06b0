"""The settings and the rules. Both are read and checked at startup, the rules again when they change."""

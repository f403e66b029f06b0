"""The Redis server that we bring along."""

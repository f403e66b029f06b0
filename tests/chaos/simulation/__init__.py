"""The service on a real Redis, in simulated time: every way to fail that we know, by seeds."""

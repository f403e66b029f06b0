"""What people, Prometheus and the log are told."""

"""What a customer has left on each meter."""

"""What is stored about a customer, and what becomes of it when they are to be forgotten."""

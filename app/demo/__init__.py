"""The demo: the real service from webhook to credit, with a stand-in for Polar."""

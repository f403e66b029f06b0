"""Entry points: the receiver, the command line, the demo. Nothing imports app."""

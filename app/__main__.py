"""``python -m app`` is ``credits``."""

from app.cli import main

main()

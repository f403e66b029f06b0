"""``credits init``: asks, plans, writes, creates, checks."""

from app.cli.init.command import init

__all__ = ["init"]

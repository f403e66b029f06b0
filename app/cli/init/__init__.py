"""``credits init``: asks, plans, writes, creates, checks."""

from app.cli.init.command import init
from app.cli.init.output import InitJson

__all__ = ["InitJson", "init"]

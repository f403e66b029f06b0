"""Defines how often a rule credits again within a period that was paid."""

from enum import StrEnum


class Every(StrEnum):
    """The time between two instalments."""

    MONTH = "month"
    WEEK = "week"

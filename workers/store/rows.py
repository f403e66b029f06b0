"""What the ledger's scripts take: plans, claims and outcomes, as rows or as flat lists of values.

The first comment of each script lists the names that it reads.
"""

Row = dict[str, object]
"""A JSON object."""

Values = tuple[object, ...]
"""A row's values. All rows are sent as one flat list, because Lua would make a table for each object."""

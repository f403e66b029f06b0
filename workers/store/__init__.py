"""Everything in Redis; each atomic step is a Lua script."""

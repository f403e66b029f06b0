"""Everything after intake: store, plan, claim, ingest, settle. Knows nothing of HTTP servers or terminals."""

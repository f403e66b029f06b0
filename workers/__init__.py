"""Everything from intake on: store, plan, claim, ingest, settle. No HTTP server and no terminal."""

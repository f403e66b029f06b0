"""Everything from intake on: store, plan, claim, ingest, settle. Knows no HTTP server and no terminal."""

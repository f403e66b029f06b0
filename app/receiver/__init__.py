"""The webhook endpoint: server, connection limits, uploads, signature, webhooks, health."""

"""``credits backfill``: credits paid orders whose webhooks never arrived."""

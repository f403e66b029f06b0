"""Measures a burst of orders against a Polar with the real rate limit."""

from bench.backlog import await_settled, fill, release
from bench.harness import POLAR_LATENCY_MS, start_harness
from bench.rounds import Table, figure

_PER_MINUTE = 500  # Polar's limit for an organization
_SHARE = 300  # our default share of it


def measure(*, quick: bool) -> Table:
    """Settle the burst once; return one row."""
    orders = 1000 if quick else 50_000
    with start_harness(polar_per_minute=_PER_MINUTE, share=_SHARE) as harness, harness.redis() as redis:
        fill(harness, orders)
        with harness.workers():
            begun = release(harness)
            seconds = await_settled(harness) - begun
        taken = harness.taken(least=orders)
        peak = int(redis.info("memory")["used_memory_peak"])
    row = [
        f"{orders:,}",
        figure(seconds),
        figure(taken["requests"]),
        f"{taken['limited']:.0f}",
        f"{taken['duplicates']:.0f}",
        figure(peak / 2**20),
    ]
    header = ["orders", "seconds", "requests", "answered 429", "sent twice", "Redis peak, MiB"]
    note = (
        f"One worker. Polar allows {_PER_MINUTE} requests a minute, of which our share is {_SHARE}, and "
        f"answers after {POLAR_LATENCY_MS} ms. "
        f"With one request per order it would take {orders / _PER_MINUTE:.0f} minutes."
    )
    return Table(subject="burst", header=header, rows=[row], note=note)

"""A great day: a burst of orders, against a Polar that limits us as the real one does."""

from bench.backlog import await_settled, fill, release
from bench.rounds import Table, figure
from bench.stage import POLAR_LATENCY_MS, stage

_PER_MINUTE = 500  # Polar's limit for an organization
_SHARE = 300  # what we take of it if nobody says otherwise


def measure(*, quick: bool) -> Table:
    """Settle the burst once."""
    orders = 1000 if quick else 50_000
    with stage(polar_per_minute=_PER_MINUTE, share=_SHARE) as set_up, set_up.redis() as redis:
        fill(set_up, orders)
        with set_up.workers():
            begun = release(set_up)
            seconds = await_settled(set_up) - begun
        taken = set_up.taken(least=orders)
        peak = int(redis.info("memory")["used_memory_peak"])
    row = [
        f"{orders:,}",
        figure(seconds),
        figure(taken["requests"]),
        f"{taken['limited']:.0f}",
        f"{taken['duplicates']:.0f}",
        figure(peak / 2**20),
    ]
    header = ["orders", "seconds", "requests", "of these 429", "sent twice", "Redis at most, MiB"]
    note = (
        f"One worker; Polar takes {_PER_MINUTE} requests a minute, of which our share is {_SHARE}, and "
        f"answers after {POLAR_LATENCY_MS} ms. "
        f"A request an order would take {orders / _PER_MINUTE:.0f} minutes."
    )
    return Table(subject="burst", header=header, rows=[row], note=note)

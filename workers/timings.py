"""How long the service waits and how much it does at once: one value, passed to the parts that need it."""

from msgspec import Struct


class Timings(Struct, frozen=True, kw_only=True):
    """Durations and batch sizes of the pipeline; the defaults are right outside tests."""

    # Longer than a round and its last request may take together. Short enough that the work of a killed
    # worker is done within the minute.
    lease_seconds: float = 40.0

    # The grants of one lease fit into one request or two: a month's renewals take minutes.
    deliveries_per_lease: int = 500

    # A drain stops after this, so that a worker that was told to stop does so soon.
    drain_seconds: float = 5.0

    # After this, a round starts no further request, so that its last one ends within the lease.
    round_seconds: float = 10.0

    # Far below the 4,681 (divided by the number of matching meters) at which Polar fails, and still fast.
    events_per_request: int = 500

    # Polar takes half a second for a thousand events; an answer that takes longer than this never comes.
    polar_connect_seconds: float = 4.0
    polar_write_seconds: float = 5.0
    polar_read_seconds: float = 10.0
    polar_pool_seconds: float = 1.0

    # A whole request, however slowly its pieces drip. Not less than its phases together.
    polar_request_seconds: float = 20.0

    # Pauses double from the first to the longest, which is Polar's own window of rate limiting. A request
    # a minute costs Polar nothing.
    first_pause_seconds: float = 1.0
    longest_pause_seconds: float = 60.0

    # Polar may ask for a longer pause after a 429, but never for one longer than this: that is a mistake.
    longest_retry_after_seconds: float = 3600.0

    # Polar's list of events is filled in the background. It lags by seconds, once by a minute.
    events_lag_seconds: float = 90.0

    # An event that fails alone is retried after 10, 30, 90, 270 and 810 seconds. After these twenty
    # minutes a person should look at it.
    first_retry_seconds: float = 10.0
    max_retries: int = 5

    @property
    def longest_wait_seconds(self) -> float:
        """Return how far ahead a delivery may be due: it is retried, or its lease ends."""
        longest: float = self.first_retry_seconds * 3 ** (self.max_retries - 1)
        return longest + self.lease_seconds

    # Polar waits ten seconds for the receiver's answer and recommends two: better a 503 in time.
    receiver_redis_seconds: float = 3.0
    worker_redis_seconds: float = 10.0

    # How long an answer to a wrong token takes.
    wrong_token_seconds: float = 1.0

    # How soon a receiver notices that Redis has lost what it confirmed. One command each time.
    loss_check_seconds: float = 5.0

    # While Redis is away: a restart takes no longer than the first wait, and after an outage nobody notices
    # Redis later than the longest.
    first_redis_wait_seconds: float = 0.2
    longest_redis_wait_seconds: float = 3.0

    # How long a due delivery may wait if its drain job is lost. A tick costs a round trip or two. RQ waits
    # for whole seconds.
    tick_seconds: int = 2

    # An alert that takes longer is not delivered; a stopping worker waits no longer for one either.
    alert_seconds: float = 5.0

    # People are told that Redis is away when it has been so long: a fail-over takes half a minute.
    redis_away_before_alert_seconds: float = 60.0

    # A storefront that takes longer to answer a credit event has not taken it. A lease covers all that a
    # sender has leased, and waits for the requests before it.
    event_seconds: float = 10.0
    event_lease_seconds: float = 60.0
    events_in_flight: int = 8

    # How late a credit event is noticed. One command each time.
    event_check_seconds: float = 1.0

    # A refused event is sent again after twice as long each time, for three days. Half an hour is short
    # enough for a storefront that is back, and 150 requests for one that never takes it.
    first_event_retry_seconds: float = 5.0
    longest_event_retry_seconds: float = 1800.0
    event_patience_seconds: float = 3 * 86_400.0

    # While the storefront refuses everything, it gets one event at a time, and at the end one a minute.
    longest_event_pause_seconds: float = 60.0

    # How late a reconciliation or a confirmation may start, and how soon a changed rules file is noticed.
    background_check_seconds: float = 2.0

    # A settled fact is sealed when most of what follows it is over: duplicates, the storefront's questions.
    # That takes Redis twice as long as a settlement, so it does it for at most a quarter of a round. Workers
    # of an older version end within seconds of the start.
    seal_after_seconds: float = 3600.0
    seal_round_seconds: float = 0.5
    seal_first_seconds: float = 60.0

    # The supervisor notices a death within a check and waits longer after each death in a row. The longest
    # delay is short enough to be back soon after the cause is fixed.
    supervisor_check_seconds: float = 0.2
    first_restart_delay_seconds: float = 0.5
    longest_restart_delay_seconds: float = 10.0

    # After a process has refused to work on this data: the next version may have been installed by then.
    refused_restart_seconds: float = 60.0

    # A process that lived this long did not die of its start: the next delay is the first one again.
    stable_after_seconds: float = 30.0

    # A process that was told to stop is killed after this. A request to Polar may take two thirds of it.
    stop_seconds: float = 30.0


DEFAULT_TIMINGS = Timings()
"""What every part uses unless it is given something else."""

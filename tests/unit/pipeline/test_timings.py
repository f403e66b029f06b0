"""The default timings fit together."""

from workers.timings import DEFAULT_TIMINGS


def test_the_last_request_of_a_round_ends_within_the_lease() -> None:
    assert (
        DEFAULT_TIMINGS.round_seconds + DEFAULT_TIMINGS.polar_request_seconds < DEFAULT_TIMINGS.lease_seconds
    )


def test_the_phases_of_a_request_to_polar_fit_into_it() -> None:
    phases = (
        DEFAULT_TIMINGS.polar_connect_seconds,
        DEFAULT_TIMINGS.polar_write_seconds,
        DEFAULT_TIMINGS.polar_read_seconds,
        DEFAULT_TIMINGS.polar_pool_seconds,
    )
    assert sum(phases) <= DEFAULT_TIMINGS.polar_request_seconds


def test_a_process_that_is_told_to_stop_may_finish_its_request_to_polar() -> None:
    assert DEFAULT_TIMINGS.polar_request_seconds < DEFAULT_TIMINGS.stop_seconds

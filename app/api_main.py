"""What ``credits api`` serves: the storefront API, the desk, or both."""

from functools import partial

from app.api.application import Api
from app.desk.application import desk_routes
from config.settings import Settings
from workers.timings import DEFAULT_TIMINGS, Timings


def create_api(settings: Settings, timings: Timings = DEFAULT_TIMINGS) -> Api:
    """Return the application; ConfigError if a setting that it needs is missing, or both tokens are."""
    if settings.desk_token is None:
        return Api(settings, timings)
    return Api(settings, timings, partial(desk_routes, settings, timings))

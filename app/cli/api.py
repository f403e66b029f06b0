"""``credits api``: runs the storefront API and the desk alone."""

import click

from app.api.server import desk_url, listen_for_api, run_api
from app.api_main import create_api
from app.cli.options import json_logs_option
from app.cli.service import log_connections, look_at_redis
from app.cli.service_settings import read_service_settings
from app.receiver.server import base_url_of
from config.log import get_log

log = get_log(__name__)


@click.command("api")
@json_logs_option
def api(json: bool) -> None:
    """Run the storefront API and the desk alone. Needs REDIS_URL.

    Serves the storefront API if CREDITS_API_TOKEN is set, and the operators' pages under /desk if
    CREDITS_DESK_TOKEN is.

    Example: credits api
    """
    settings = read_service_settings("api", json_logs=json)
    application = create_api(settings)
    look_at_redis(settings.require_redis_url(), settings.redis_options)
    with listen_for_api(settings) as listener:
        log.info("listening", url=base_url_of(listener))
        if settings.desk_token:
            log.info("the desk is open", url=desk_url(listener))
        log_connections(settings, apis=1)
        run_api(application, listener)

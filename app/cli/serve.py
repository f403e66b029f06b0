"""``credits serve``: runs the receiver alone."""

import click

from app.cli.options import json_logs_option
from app.cli.service import environment, log_connections, look_at_redis, receiver_parts, receivers_option
from app.cli.service_settings import read_receiver_settings
from app.main import create_app
from app.processes.supervisor import supervise
from app.receiver.server import listen, run_receiver, url_of
from config.log import get_log

log = get_log(__name__)


@click.command("serve")
@receivers_option
@json_logs_option
def serve(receivers: int, json: bool) -> None:
    """Run the receiver alone. Needs REDIS_URL.

    Several receivers share one port. A receiver that dies is started again.

    Example: credits serve --receivers 2
    """
    settings = read_receiver_settings(json_logs=json)
    app = create_app(settings)
    url = settings.require_redis_url()
    look_at_redis(url, settings.redis_options)
    with listen(settings) as listener:
        log.info("listening", url=url_of(listener), receivers=receivers)
        log_connections(settings, receivers=receivers)
        if receivers == 1:
            run_receiver(app, listener)
        else:
            parts = receiver_parts(listener, receivers, environment(url, json=json))
            supervise(parts, on_stop=listener.close)

"""``credits serve``: runs the receiver alone."""

import structlog

from app.cli.options import JsonLogs
from app.cli.service import Receivers, environment, log_connections, look_at_redis, receiver_parts
from app.cli.settings import read_receiver_settings
from app.main import create_app
from app.processes.supervisor import supervise
from app.receiver.server import listen, run_receiver, url_of

log = structlog.get_logger(__name__)


def serve(receivers: Receivers = 1, json: JsonLogs = False) -> None:
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

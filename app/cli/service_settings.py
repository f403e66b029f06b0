"""The settings of a command that runs the service, and its log."""

from config.settings import AnySettings, ReceiverSettings, Settings, load_receiver_settings, load_settings
from workers.monitoring.logs import configure_logging


def read_service_settings(process: str, *, json_logs: bool) -> Settings:
    """Read the settings and set up logging."""
    return _logging(load_settings(), process, json_logs=json_logs)


def read_receiver_settings(*, json_logs: bool) -> ReceiverSettings:
    """Read what the receiver needs and set up logging; other settings may be unusable."""
    return _logging(load_receiver_settings(), "receiver", json_logs=json_logs)


def _logging(settings: AnySettings, process: str, *, json_logs: bool) -> AnySettings:
    configure_logging("json" if json_logs else settings.log_format, settings.log_level, process=process)
    return settings

"""The death of a process, as tests stage it."""


class KilledError(BaseException):
    """The process is killed here, as by ``kill -9``: no code of ours may catch it."""

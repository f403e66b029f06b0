"""The error of a page."""


class DeskError(Exception):
    """A request that is answered with an error page; the text is a whole sentence for operators."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status

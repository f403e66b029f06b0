"""Work that can be stopped at critical points, and then continue, sleep or die.

It runs in a thread of its own. Only one such thread, or the test, runs at a time, so runs are reproducible.
"""

from collections.abc import Callable
from enum import StrEnum
from threading import Semaphore, Thread

from tests.support.killed import KilledError


class Stop(StrEnum):
    """Where a worker can be stopped."""

    BEFORE_CLAIM = "before it claims"
    CLAIMED = "when it has claimed"
    BEFORE_TAKING_BACK = "before it takes back"
    TAKEN_BACK = "when it has taken back"
    BEFORE_SENDING = "before it sends"
    SENT = "when Polar has taken it all, before the answer"
    BEFORE_SETTLING = "before it settles"
    SETTLED = "when it has settled"
    END = "at its end"


class StoppableWork:
    """Work that waits until it is told how far to go."""

    def __init__(self, work: Callable[["StoppableWork"], object]) -> None:
        self._work = work
        self._to = Stop.END
        self._has_begun = False
        self._killed = False
        self._error: BaseException | None = None
        self._go, self._back = Semaphore(0), Semaphore(0)
        self.is_over = False

    def go_on(self, to: Stop = Stop.END) -> None:
        """Continue up to ``to`` or the end."""
        if self.is_over:  # after an error there is no thread that would answer
            return
        self._to = to
        if self._has_begun:
            self._go.release()
            self._back.acquire()
        elif to is Stop.END:
            self._run()  # without a stop no thread is needed
        else:
            self._has_begun = True
            Thread(target=self._run, daemon=True).start()
            self._back.acquire()
        if self._error:
            raise self._error

    def kill(self) -> None:
        """End at once."""
        self._killed = True
        if self._has_begun:
            self.go_on()
        self.is_over = True

    def at(self, stop: Stop) -> None:
        """Wait here if this is the stop to reach."""
        if stop is self._to:
            self._back.release()
            self._go.acquire()
            if self._killed:
                raise KilledError

    def _run(self) -> None:
        try:
            self._work(self)
        except KilledError:
            pass
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test shall see it
            self._error = error
        self.is_over = True
        self._back.release()

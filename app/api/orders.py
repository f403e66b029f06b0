"""``GET /v1/orders/{order_id}``: whether an order was credited; ``wait`` holds the answer until it is."""

import asyncio
from contextlib import suppress

from starlette.datastructures import QueryParams
from starlette.requests import Request

from app.api.answers import OrderAnswer
from app.api.errors import InvalidRequestError, UnavailableError
from app.api.gone import until_gone
from config.ids import read_id
from workers.core.credit_status import CreditState
from workers.errors import StoreUnavailableError
from workers.store.orders import OrderReader, Settlements

LONGEST_WAIT_SECONDS = 20

MOST_WAITING = 1000


class Orders:
    """Answers for orders from the ledger."""

    def __init__(self, reader: OrderReader, settlements: Settlements) -> None:
        self._reader = reader
        self._settlements = settlements

    async def get(self, request: Request) -> OrderAnswer:
        """Return the state of an order, at once or when it is settled; ApiError if it cannot be read."""
        order_id = read_order_id(request.path_params["order_id"])
        seconds = read_wait(request.query_params, usual=0)
        with self._settlements.watch(order_id) as settled:
            if self._settlements.waiting > MOST_WAITING:
                seconds = 0
            try:
                state = await until_gone(request, self._state(order_id, settled, seconds))
            except StoreUnavailableError:
                raise UnavailableError("the ledger cannot be read now; ask again") from None
        return OrderAnswer.of(order_id, state)

    async def _state(self, order_id: str, settled: asyncio.Event, seconds: float) -> CreditState:
        """Return the state once it is final, or as it is after ``seconds``."""
        state = await self._reader.read(order_id)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not (state.status.is_settled or self._settlements.is_stopped):
                    await settled.wait()
                    settled.clear()
                    state = await self._reader.read(order_id)
        return state


def read_order_id(text: str) -> str:
    """Return an order's id; InvalidRequestError if ``text`` is not one."""
    try:
        return read_id(text)
    except ValueError:
        raise InvalidRequestError("the order's id is not a UUID") from None


def read_wait(query: QueryParams, *, usual: int) -> int:
    """Return for how many seconds to hold the answer; InvalidRequestError unless they are 0 to 20."""
    text, *others = query.getlist("wait") or [str(usual)]
    if others:
        raise InvalidRequestError("wait is given more than once")
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LONGEST_WAIT_SECONDS))):
        raise InvalidRequestError(f"wait is not a whole number of seconds, 0 to {LONGEST_WAIT_SECONDS}")
    seconds = int(text)
    if seconds > LONGEST_WAIT_SECONDS:
        raise InvalidRequestError(f"wait is more than {LONGEST_WAIT_SECONDS} seconds")
    return seconds

"""``GET /v1/customers/.../credits``: what a customer has left."""

import asyncio
import re
import time
from collections import OrderedDict
from typing import Protocol

from msgspec import Struct
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app.api.answers import CustomerAnswer
from app.api.errors import InvalidRequestError, NotFoundError, UnavailableError
from app.receiver.refusal_log import RefusalLog
from config.ids import read_id
from workers.core.customers import EXTERNAL_ID, LONGEST_EXTERNAL_ID, CustomerName, NameKind
from workers.errors import PolarError, PolarUnreachableError
from workers.operations.credits.reader import CustomerCredits

# So many are read at once. Two use up any share of Polar's rate limit; with many more, each would make its
# first request, and none its last one in time.
_AT_ONCE = 4
# So many are read or wait to be read, for up to two seconds.
MOST_READINGS = 20
_LONGEST_WAIT_SECONDS = 2.0

_FRESH_SECONDS = 5.0
_MOST_KEPT = 100_000  # customers, a kilobyte each


class Reader(Protocol):
    """Reads customers from Polar and the ledger."""

    def read(self, name: CustomerName) -> CustomerCredits | None:
        """Return a customer's credits; None if Polar has no such customer. Raises PolarError."""
        ...

    def find_id(self, external_id: str) -> str | None:
        """Return Polar's id of a customer; None if Polar has no such customer. Raises PolarError."""
        ...


class _Kept(Struct, frozen=True):
    credits: CustomerCredits | None
    read_at: float

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.read_at < _FRESH_SECONDS


class Customers:
    """Answers for customers from Polar and the ledger.

    Several requests for one customer share one reading. A reading is used for five seconds, and for longer
    while no new one can be made.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._failures = RefusalLog("credits cannot be read")
        self._kept: OrderedDict[CustomerName, _Kept] = OrderedDict()
        self._reading: dict[CustomerName, asyncio.Task[_Kept]] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def get(self, request: Request) -> CustomerAnswer:
        """Return a customer's credits, by Polar's id."""
        try:
            customer_id = read_id(request.path_params["customer_id"])
        except ValueError:
            raise InvalidRequestError("the customer's id is not a UUID") from None
        return await self.credits_of(CustomerName(NameKind.ID, customer_id))

    async def get_external(self, request: Request) -> CustomerAnswer:
        """Return a customer's credits, by the storefront's own id."""
        external_id = request.path_params["external_id"]
        if len(external_id) > LONGEST_EXTERNAL_ID:
            raise InvalidRequestError(f"the external id is longer than {LONGEST_EXTERNAL_ID} characters")
        if not re.fullmatch(EXTERNAL_ID, external_id):
            raise InvalidRequestError("the external id has a null character")
        return await self.credits_of(CustomerName(NameKind.EXTERNAL, external_id))

    async def find_id(self, external_id: str) -> str | None:
        """Return Polar's id of the customer with an external id; None if there is none. Raises PolarError."""
        kept = self._kept.get(CustomerName(NameKind.EXTERNAL, external_id))
        if kept is not None and kept.credits is not None:
            return kept.credits.customer_id
        return await run_in_threadpool(self._reader.find_id, external_id)

    async def credits_of(self, name: CustomerName) -> CustomerAnswer:
        """Return a customer's credits; ApiError if Polar has no such customer, or if they cannot be read."""
        kept = await self._current(name)
        if kept.credits is None:
            raise NotFoundError(f"Polar has no customer with this {name.kind.value}")
        return CustomerAnswer.of(kept.credits)

    async def _current(self, name: CustomerName) -> _Kept:
        kept = self._kept.get(name)
        if kept is not None and kept.is_fresh:
            return kept
        try:
            return await asyncio.shield(self._read_once(name))
        except (PolarError, RedisError, OSError) as error:
            given = "none" if kept is None else "the last ones"
            self._failures.add("Polar or Redis cannot be asked now", error=str(error), given=given)
            if kept is None:
                raise UnavailableError("the credits cannot be read now; ask again") from None
            return kept

    def _read_once(self, name: CustomerName) -> "asyncio.Task[_Kept]":
        """Return the reading that is under way, or begin one; PolarUnreachableError if too many are."""
        if (reading := self._reading.get(name)) is None:
            if len(self._reading) >= MOST_READINGS:
                raise PolarUnreachableError(f"{MOST_READINGS} customers are being read")
            reading = self._reading[name] = asyncio.create_task(self._read_and_keep(name))
            reading.add_done_callback(lambda done: self._forget_reading(name, done))
        return reading

    def _forget_reading(self, name: CustomerName, done: "asyncio.Task[_Kept]") -> None:
        del self._reading[name]
        if not done.cancelled():
            done.exception()  # else asyncio warns of an error that nobody read, if all clients have gone

    async def _read_and_keep(self, name: CustomerName) -> _Kept:
        async with asyncio.timeout(_LONGEST_WAIT_SECONDS):
            await self._places.acquire()
        try:
            kept = _Kept(await run_in_threadpool(self._reader.read, name), time.monotonic())
        finally:
            self._places.release()
        self._kept[name] = kept
        self._kept.move_to_end(name)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return kept

"""How the intake tells what became of the deliveries that it stored together."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from tests.support.receivers import PAID, MemoryRedis
from workers.errors import StoreUnavailableError
from workers.store.bodies import compress_body
from workers.store.intake import Disposition, Intake, Outcome, RawDelivery


def test_the_outcomes_of_one_batch_are_told_together() -> None:
    told: list[object] = []

    @contextmanager
    def telling() -> Iterator[None]:
        told.append("begin")
        yield
        told.append("end")

    async def store() -> None:
        intake = Intake(cast(Redis, MemoryRedis()), telling=telling)
        for number in range(3):
            intake.put(RawDelivery(id=f"id-{number}", body=PAID), told.append)
        await until_told(told, 5)

    asyncio.run(store())
    assert told == ["begin", *[Disposition.ACCEPTED] * 3, "end"]


def test_an_error_of_one_who_is_told_stops_no_other() -> None:
    told: list[Outcome] = []
    heard: list[dict[str, Any]] = []

    def fail(_outcome: Outcome) -> None:
        raise RuntimeError("broken")

    async def store() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
        intake = Intake(cast(Redis, MemoryRedis()))
        for number, tell in enumerate([fail, told.append]):
            intake.put(RawDelivery(id=f"id-{number}", body=PAID), tell)
        await until_told(told, 1)

    asyncio.run(store())
    assert told == [Disposition.ACCEPTED]
    assert [context["message"] for context in heard] == ["cannot tell what became of id-0"]


def test_a_body_that_cannot_be_compressed_leaves_nobody_without_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def compress(body: bytes) -> bytes:
        if body == b"too much":
            raise MemoryError
        return compress_body(body)

    monkeypatch.setattr("workers.store.intake.compress_body", compress)
    told: list[Outcome] = []

    async def store() -> None:
        intake = Intake(cast(Redis, MemoryRedis()))
        for number, body in enumerate([PAID, b"too much", PAID]):
            intake.put(RawDelivery(id=f"id-{number}", body=body), told.append)
        await until_told(told, 3)
        intake.put(RawDelivery(id="id-4", body=PAID), told.append)
        await until_told(told, 4)

    asyncio.run(store())
    assert [type(one) for one in told[:3]] == [StoreUnavailableError] * 3
    assert told[3] is Disposition.ACCEPTED


async def until_told(told: list[Any], count: int) -> None:
    async with asyncio.timeout(10):
        while len(told) < count:
            await asyncio.sleep(0)

"""The answers of ``POST /webhooks/polar``, with a fake Redis in memory."""

import asyncio
import gc
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from structlog.testing import capture_logs

from tests.support.builders import order_webhook
from tests.support.receivers import ID, PAID, MemoryRedis, Receiver
from tests.support.recordings import payload
from workers.errors import StoreUnavailableError
from workers.store import keys
from workers.store.intake import Intake, RawDelivery


def test_a_first_delivery_is_accepted_and_stored_byte_for_byte(receiver: Receiver) -> None:
    answer = receiver.deliver(PAID)
    assert answer.status_code == 202
    assert answer.json() == {"delivery": ID, "disposition": "accepted"}
    assert receiver.redis.stored == {keys.delivery(ID): PAID}


def test_the_same_delivery_again_is_a_duplicate(receiver: Receiver) -> None:
    receiver.deliver(PAID)
    answer = receiver.deliver(PAID)
    assert (answer.status_code, answer.json()["disposition"]) == (202, "duplicate")
    assert len(receiver.redis.stored) == 1


@pytest.mark.parametrize(
    "name",
    [
        "order_paid_free",
        "order_refunded_full",
        "subscription_created_by_api_free_no_order",
        "subscription_cycled",
        "subscription_resumed",
        "customer_created",
    ],
)
def test_the_types_that_can_lead_to_credit_are_accepted(receiver: Receiver, name: str) -> None:
    assert receiver.deliver(payload(name)).json()["disposition"] == "accepted"


@pytest.mark.parametrize(
    "body",
    [
        payload("order_created_paid_purchase"),
        payload("customer_state_changed"),
        payload("other_benefit_created"),
        payload("customer_deleted"),
        payload("subscription_created_active").replace(b"subscription.created", b"subscription.migrated"),
        b'{"type": "something.of_next_year", "data": [1, 2]}',
        b'{"type": "ORDER.PAID"}',
    ],
)
def test_any_other_type_is_ignored_counted_and_not_stored(receiver: Receiver, body: bytes) -> None:
    answer = receiver.deliver(body)
    assert (answer.status_code, answer.json()) == (202, {"delivery": ID, "disposition": "ignored"})
    assert receiver.counted() == {"webhooks other ignored": 1}
    assert receiver.redis.stored == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"null",
        b"[]",
        b"{}",
        b'{"type": null}',
        b'{"type": 7}',
        b'{"type": ""}',
        b'{"type": {"type": "order.paid"}}',
        b'{"type": "order.paid"',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"type": "order.paid", "data": null}',
        b'{"type": "\\ud800"}',
        order_webhook(id="no id"),
    ],
)
def test_a_signed_body_that_is_not_an_event_is_accepted_and_stored(receiver: Receiver, body: bytes) -> None:
    """A worker marks it ``failed``, where an operator sees it; a refused one would be lost."""
    answer = receiver.deliver(body)
    assert (answer.status_code, answer.json()["disposition"]) == (202, "accepted")
    assert receiver.redis.stored == {keys.delivery(ID): body}


@pytest.mark.parametrize(
    "fault",
    [
        RedisConnectionError("Error 111 connecting to 127.0.0.1:6379"),
        RedisTimeoutError("Timeout reading from socket"),
        OutOfMemoryError("command not allowed when used memory > 'maxmemory'"),
        ReadOnlyError("You can't write against a read only replica."),
        ConnectionResetError("reset by peer"),
        FileNotFoundError("/run/redis.sock"),
    ],
)
def test_polar_is_asked_to_retry_while_redis_cannot_store(receiver: Receiver, fault: Exception) -> None:
    receiver.redis.fault = fault
    answer = receiver.deliver(PAID)
    assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert str(fault) not in answer.text
    receiver.redis.fault = None
    assert receiver.deliver(PAID).json()["disposition"] == "accepted"


def test_a_delivery_that_could_not_be_stored_is_logged_with_the_error_of_redis(
    receiver: Receiver,
) -> None:
    receiver.redis.fault = RedisConnectionError("Error 111 connecting to 127.0.0.1:6379")
    with capture_logs() as lines:
        receiver.deliver(PAID)
    (line,) = lines
    assert (line["event"], line["delivery"]) == ("cannot store delivery", ID)
    assert "Error 111" in line["reason"]


def test_an_ignored_type_does_not_need_redis(receiver: Receiver) -> None:
    receiver.redis.fault = RedisConnectionError("away")
    assert receiver.deliver(payload("customer_state_changed")).json()["disposition"] == "ignored"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_only_post_is_allowed(receiver: Receiver, method: str) -> None:
    answer = receiver.ask(method)
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]


def test_every_answer_is_counted(receiver: Receiver) -> None:
    """Except those that Redis counts as it stores them."""
    receiver.deliver(PAID)
    receiver.deliver(PAID)
    receiver.deliver(payload("customer_updated"))
    receiver.ask()
    receiver.redis.fault = RedisConnectionError("away")
    receiver.deliver(PAID)
    assert receiver.counted() == {
        "webhooks other ignored": 1,
        "rejected_requests invalid_signature": 1,
        "rejected_requests unavailable": 1,
    }


@pytest.mark.parametrize(
    "fault",
    [
        ReadOnlyError("You can't write against a read only replica."),
        ResponseError("NOREPLICAS Not enough good replicas to write."),
        RedisConnectionError("Connection closed by server."),
        RuntimeError("unable to perform operation on <TCPTransport closed=True>"),
    ],
)
def test_a_delivery_that_redis_refuses_is_stored_over_a_new_connection(
    receiver: Receiver, fault: Exception
) -> None:
    """After a fail-over the name leads to the new primary, but open connections do not.

    Those in use are left to who uses them: a probe would not know what befell it.
    """
    receiver.redis.fault, receiver.redis.faults_left = fault, 1
    assert receiver.deliver(PAID).status_code == 202
    assert receiver.redis.disconnected == ["idle"]


@pytest.mark.parametrize("held", [RedisTimeoutError("Timed out closing connection"), RuntimeError("closed")])
def test_a_delivery_is_answered_though_disconnecting_from_the_old_primary_fails(
    receiver: Receiver, held: Exception
) -> None:
    receiver.redis.fault = ReadOnlyError("You can't write against a read only replica.")
    receiver.redis.held = held
    assert receiver.deliver(PAID).status_code == 503
    receiver.redis.fault = None
    assert receiver.deliver(PAID).status_code == 202


@pytest.mark.parametrize("fault", [RuntimeError("closed"), AttributeError("'NoneType' has no 'writelines'")])
def test_no_error_of_a_lost_connection_goes_unheard(fault: Exception) -> None:
    """The event loop has errors of its own for connections that were cut; they are no errors of Redis."""
    unheard: list[dict[str, Any]] = []

    async def store() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
        redis = MemoryRedis()
        redis.fault = redis.held = fault
        intake = Intake(cast(Redis, redis))
        with pytest.raises(StoreUnavailableError, match="cannot be reached"):
            await intake.accept(RawDelivery(id=ID, body=PAID))
        del intake
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(store())
    assert unheard == []

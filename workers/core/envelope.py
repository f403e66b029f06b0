"""What the receiver looks at in a webhook: its type. Loads neither rules nor CEL."""

from pydantic import BaseModel, ConfigDict, ValidationError

from workers.errors import UnreadablePayloadError

ORDER_PAID = "order.paid"
ORDER_REFUNDED = "order.refunded"
SUBSCRIPTION_CYCLED = "subscription.cycled"
CUSTOMER_CREATED = "customer.created"
# What is stored; any other type is answered 2xx, counted and forgotten.
STORED_TYPES = frozenset({ORDER_PAID, ORDER_REFUNDED, SUBSCRIPTION_CYCLED, CUSTOMER_CREATED})


class Envelope(BaseModel):
    """The only part of a webhook that the receiver looks at."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str


def peek_type(body: bytes) -> str | None:
    """Return the webhook's type, or None where the body is no event at all."""
    try:
        return read_envelope(body).type
    except UnreadablePayloadError:
        return None


def read_envelope(body: bytes) -> Envelope:
    """Return what any webhook says of itself; UnreadablePayloadError if it is no webhook."""
    try:
        return Envelope.model_validate_json(body)
    except ValidationError as error:
        raise UnreadablePayloadError(validation_error_text(error)) from None


def validation_error_text(error: ValidationError) -> str:
    # Neither values nor more than a few problems: a body may be hostile, and reasons are listed.
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    shown = [
        f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg'].removeprefix('Value error, ')}"
        for one in problems[:3]
    ]
    more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""  # noqa: PLR2004 - as above
    return "the body cannot be read: " + "; ".join(shown) + more

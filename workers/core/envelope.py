"""Reads a webhook's type, which is all that the receiver needs. Imports neither rules nor CEL."""

from pydantic_core import SchemaValidator, ValidationError
from pydantic_core.core_schema import str_schema, typed_dict_field, typed_dict_schema

from workers.errors import UnreadablePayloadError

ORDER_PAID = "order.paid"
ORDER_REFUNDED = "order.refunded"
SUBSCRIPTION_CREATED = "subscription.created"
SUBSCRIPTION_CYCLED = "subscription.cycled"
SUBSCRIPTION_RESUMED = "subscription.resumed"
CUSTOMER_CREATED = "customer.created"
CUSTOMER_DELETED = "customer.deleted"
# The receiver stores these. It answers 2xx to any other type, counts it and drops it.
STORED_TYPES = frozenset(
    {
        ORDER_PAID,
        ORDER_REFUNDED,
        SUBSCRIPTION_CREATED,
        SUBSCRIPTION_CYCLED,
        SUBSCRIPTION_RESUMED,
        CUSTOMER_CREATED,
    }
)


def stored_types(*, forgets_deleted: bool) -> frozenset[str]:
    """Return the types that the receiver stores; ``customer.deleted`` only where it erases bodies."""
    return STORED_TYPES | {CUSTOMER_DELETED} if forgets_deleted else STORED_TYPES


_MOST_NAMED = 3  # a reason names at most this many problems of a body
_OTHER_FORMAT = "; set the endpoint's format to Raw in Polar's dashboard (Settings > Webhooks)"


# The only part of a webhook that the receiver reads. No model of pydantic's, which takes a tenth of a
# receiver's start to import; and json would take three times as long for each webhook.
_ENVELOPE = SchemaValidator(typed_dict_schema({"type": typed_dict_field(str_schema())}))


def peek_type(body: bytes) -> str | None:
    """Return the webhook's type; None if the body is not a webhook."""
    try:
        return read_type(body)
    except UnreadablePayloadError:
        return None


def read_type(body: bytes) -> str:
    """Return the webhook's type; UnreadablePayloadError if the body is not a webhook."""
    try:
        return str(_ENVELOPE.validate_json(body)["type"])
    except ValidationError as error:
        raise UnreadablePayloadError(validation_error_text(error) + _advice(error)) from None


def _advice(error: ValidationError) -> str:
    """Return what to change if the body is one of those that Polar writes for Slack or Discord."""
    return _OTHER_FORMAT if error.errors()[0]["type"] == "missing" else ""


def validation_error_text(error: ValidationError) -> str:
    """Return what is wrong with a body, briefly and without its values, because a body may be hostile."""
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    shown = [
        f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg'].removeprefix('Value error, ')}"
        for one in problems[:_MOST_NAMED]
    ]
    more = f" (and {len(problems) - _MOST_NAMED} more)" if len(problems) > _MOST_NAMED else ""
    return "the body cannot be read: " + "; ".join(shown) + more

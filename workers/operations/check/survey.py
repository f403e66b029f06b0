"""What ``credits check`` asks Polar: each question that fails is a finding and stops no other."""

from collections.abc import Callable, Collection, Generator, Iterator
from functools import partial
from http import HTTPStatus
from typing import TypeVar

from config.rules import Rules
from workers.core.findings import Finding, Level
from workers.errors import PolarBrokenError, PolarDeniedError, PolarError, PolarRateLimitedError
from workers.operations.check.findings import check_conflicts, check_meters, check_products, named_products
from workers.polar.catalogue import Listed, PolarMeter, PolarProduct, Products, parse_items
from workers.polar.client import API_VERSION, Polar
from workers.polar.lists import Listing

T = TypeVar("T")

# What some commands need and granting does not: the scope, a list that wants it, and those commands.
_FOR_COMMANDS = (
    ("orders:read", "/v1/orders/", "`credits backfill` and CREDITS_RECONCILE_EVERY"),
    ("webhooks:read", "/v1/webhooks/deliveries", "`credits recover`"),
    (
        "customers:read",
        "/v1/customers/",
        "`credits grant` and `credits balance` by e-mail address or your own id",
    ),
    ("customer_meters:read", "/v1/customer-meters/", "`credits balance`"),
)

_MOST_ASKED_FOR = 20  # one by one; Polar allows some organizations no more than 60 requests a minute


def survey(polar: Polar, rules: Rules | None) -> Iterator[Finding]:
    """Yield what there is to say of token and scopes and, where rules could be read, of what they need."""
    named = named_products(rules) if rules else frozenset()
    try:
        polar.check_token()
    except PolarError as error:
        yield _trouble(error, "events:write", "error", "nothing can be granted")
        if not _is_scope(error):
            return  # whatever we ask, that will be the answer
    else:
        yield _has("events:write")
    meters = yield from _ask(
        lambda: _meters(polar), "meters:read", "the meters, and what products do to them,"
    )
    products = yield from _ask(
        lambda: _products(polar, named), "products:read", "the products, and what they do to meters,"
    )
    for scope, path, use in _FOR_COMMANDS:
        yield _for_commands(partial(polar.page, Listing(path=path)), scope, use)
    yield _for_commands(polar.check_customer_creation, "customers:write", "`credits grant --create`")
    if rules and meters:
        yield from check_meters(rules, meters)
    if rules and products:
        yield from check_products(rules, products)
    if rules and meters and products:
        yield from check_conflicts(rules, products.items, meters.items)


def _ask(question: Callable[[], T], scope: str, things: str) -> Generator[Finding, None, T | None]:
    try:
        answer = question()
    except PolarError as error:
        yield _trouble(error, scope, "warning", f"{things} cannot be checked")
        return None
    yield _has(scope)
    return answer


def _for_commands(question: Callable[[], object], scope: str, use: str) -> Finding:
    """Return whether the token may do what some commands want: only what was seen is said."""
    try:
        question()
    except PolarError as error:
        if _is_scope(error):
            return _trouble(error, scope, "warning", f"{use} cannot be used")
        return Finding(level="warning", what="scope", detail=f"{scope} was not seen: {error}")
    return _has(scope)


def _meters(polar: Polar) -> Listed[PolarMeter]:
    items, unread = polar.read_list("/v1/meters/")
    return Listed(items=parse_items(PolarMeter, items), unread=unread)


def _products(polar: Polar, named: Collection[str]) -> Products:
    """Read all products, and ask for what the list does not have before it is called missing."""
    items, unread = polar.read_list("/v1/products/")
    found = {one.id: one for one in parse_items(PolarProduct, items)}
    others = [product_id for product_id in sorted(named) if product_id not in found]
    answers = {one: polar.find(f"/v1/products/{one}") for one in others[:_MOST_ASKED_FOR]}
    there = [answer for answer in answers.values() if answer is not None]
    missing = frozenset(product_id for product_id, answer in answers.items() if answer is None)
    return Products(
        items=(*found.values(), *parse_items(PolarProduct, there)), unread=unread, missing=missing
    )


def _has(scope: str) -> Finding:
    return Finding(level="ok", what="scope", detail=scope)


def _is_scope(error: PolarError) -> bool:
    return isinstance(error, PolarDeniedError) and error.status == HTTPStatus.FORBIDDEN


def _trouble(error: PolarError, scope: str, missing: Level, otherwise: str) -> Finding:
    """Return what a failed question means and what to do; a missing scope is as grave as ``missing``."""
    if _is_scope(error):
        detail = f"{scope} is missing, so {otherwise}; add it to the token in Polar's dashboard"
        return Finding(level=missing, what="scope", detail=detail)
    what, words = _meaning(error)
    return Finding(level="error", what=what, detail=f"{otherwise}: {words}")


def _meaning(error: PolarError) -> tuple[str, str]:
    match error:
        case PolarDeniedError(status=HTTPStatus.UNAUTHORIZED):
            return "token", (
                "Polar refuses the token; it is expired, revoked, or of another server: set POLAR_SERVER to "
                "where it was made (the sandbox has tokens of its own), or make a new one"
            )
        case PolarDeniedError():
            return "server", (
                f"{error}, so no Polar API of version {API_VERSION} is there; set POLAR_SERVER to "
                "production, sandbox, or the base URL of a Polar server, without /v1"
            )
        case PolarRateLimitedError():
            seconds = round(error.retry_after_seconds)
            return "polar", f"its rate limit is reached; check again in {seconds} s"
        case PolarBrokenError():
            return "polar", f"{error}; the trouble is Polar's own: check again in a while"
    return "polar", (
        f"{error}; is POLAR_SERVER right, and can it be reached from here? If so, check again in a while"
    )

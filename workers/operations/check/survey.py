"""Asks Polar about everything that ``credits check`` reports; a failed request is a finding of its own."""

from collections.abc import Callable, Collection, Generator, Iterator
from functools import partial
from http import HTTPStatus
from typing import TypeVar

from config.rules import Rules
from workers.core.findings import Finding, Level
from workers.core.reconciling import needs_disputes, wants_disputes
from workers.errors import PolarBrokenError, PolarDeniedError, PolarError, PolarRateLimitedError
from workers.operations.check.endpoint import Wanted, check_endpoints
from workers.operations.check.findings import (
    check_clock,
    check_conflicts,
    check_meters,
    check_products,
    named_products,
)
from workers.polar.catalogue import Listed, PolarEndpoint, PolarMeter, PolarProduct, Products, parse_items
from workers.polar.client import Polar
from workers.polar.lists import Listing, lost_disputes
from workers.polar.requests import API_VERSION

T = TypeVar("T")

# Scopes that granting does not need, but commands do: the scope, a list that requires it, the commands.
_COMMAND_SCOPES = (
    ("orders:read", "/v1/orders/", "`credits backfill` and CREDITS_RECONCILE_EVERY"),
    ("webhooks:read", "/v1/webhooks/deliveries", "`credits recover` and the look at the endpoint"),
    (
        "customers:read",
        "/v1/customers/",
        "`credits grant` and `credits balance` by e-mail address or your own id",
    ),
    ("customer_meters:read", "/v1/customer-meters/", "`credits balance`"),
)

_MOST_SINGLE_REQUESTS = 20  # Polar allows some organizations only 60 requests a minute


def survey(polar: Polar, rules: Rules | None, wanted: Wanted | None = None) -> Iterator[Finding]:
    """Yield findings about the token, its scopes, the clock and, given rules, what they need at Polar."""
    yield from _survey(polar, rules, wanted or Wanted())
    yield from check_clock(polar.clock_ahead)


def _survey(polar: Polar, rules: Rules | None, wanted: Wanted) -> Iterator[Finding]:
    named = named_products(rules) if rules else frozenset()
    try:
        polar.check_token()
    except PolarError as error:
        yield _request_finding(error, "events:write", "error", "nothing can be granted")
        if not _is_missing_scope(error):
            return  # every other request would fail in the same way
    else:
        yield _scope_present("events:write")
    meters = yield from _request(
        lambda: _meters(polar), "meters:read", "the meters and what products do to them"
    )
    products = yield from _request(
        lambda: _products(polar, named), "products:read", "the products and what they do to meters"
    )
    for scope, path, use in _COMMAND_SCOPES:
        yield _check_scope(partial(polar.page, Listing(path=path)), scope, f"{use} cannot be used")
    creates = "`credits grant --create` cannot be used"
    yield _check_scope(polar.check_customer_creation, "customers:write", creates)
    if rules:
        yield from _check_rules_scopes(polar, rules)
    yield from check_endpoints(rules, _endpoints(polar), wanted)
    if rules and meters:
        yield from check_meters(rules, meters)
    if rules and products:
        yield from check_products(rules, products)
    if rules and meters and products:
        yield from check_conflicts(rules, products.items, meters.items)


def _request(request: Callable[[], T], scope: str, subjects: str) -> Generator[Finding, None, T | None]:
    try:
        answer = request()
    except PolarError as error:
        yield _request_finding(error, scope, "warning", f"{subjects} cannot be checked")
        return None
    yield _scope_present(scope)
    return answer


def _check_rules_scopes(polar: Polar, rules: Rules) -> Iterator[Finding]:
    """Yield whether the token has the scopes that only some keys of rules need."""
    if wants_disputes(rules):
        level: Level = "error" if needs_disputes(rules) else "warning"
        takes_none = "lost disputes take nothing back (on_dispute: revoke)"
        finds_none = takes_none if needs_disputes(rules) else "lost disputes end no instalments (every)"
        lists_disputes = partial(polar.page, lost_disputes())
        yield _check_scope(lists_disputes, "disputes:read", finds_none, missing=level)
    if any(rule.every for rule in rules.rules):
        lists_subscriptions = partial(polar.page, Listing(path="/v1/subscriptions/"))
        gives_none = "later instalments are not given (every)"
        yield _check_scope(lists_subscriptions, "subscriptions:read", gives_none, missing="error")


def _check_scope(
    request: Callable[[], object], scope: str, consequence: str, *, missing: Level = "warning"
) -> Finding:
    """Return whether the token has ``scope``; ``consequence`` is what follows if it has not."""
    try:
        request()
    except PolarError as error:
        if _is_missing_scope(error):
            return _request_finding(error, scope, missing, consequence)
        return Finding(level="warning", what="scope", detail=f"{scope} could not be checked: {error}")
    return _scope_present(scope)


def _meters(polar: Polar) -> Listed[PolarMeter]:
    items, unread = polar.read_list("/v1/meters/")
    return Listed(items=parse_items(PolarMeter, items), unread=unread)


def _endpoints(polar: Polar) -> tuple[PolarEndpoint, ...]:
    try:
        items, _ = polar.read_list("/v1/webhooks/endpoints")
        return parse_items(PolarEndpoint, items)
    except PolarError:
        return ()  # the scope that it needs has a finding of its own


def _products(polar: Polar, named: Collection[str]) -> Products:
    """Read all products; one that the list lacks is requested by id before it counts as missing."""
    items, unread = polar.read_list("/v1/products/")
    found = {one.id: one for one in parse_items(PolarProduct, items)}
    others = [product_id for product_id in sorted(named) if product_id not in found]
    answers = {one: polar.find(f"/v1/products/{one}") for one in others[:_MOST_SINGLE_REQUESTS]}
    existing = [answer for answer in answers.values() if answer is not None]
    missing = frozenset(product_id for product_id, answer in answers.items() if answer is None)
    return Products(
        items=(*found.values(), *parse_items(PolarProduct, existing)), unread=unread, missing=missing
    )


def _scope_present(scope: str) -> Finding:
    return Finding(level="ok", what="scope", detail=scope)


def _is_missing_scope(error: PolarError) -> bool:
    return isinstance(error, PolarDeniedError) and error.status == HTTPStatus.FORBIDDEN


def _request_finding(error: PolarError, scope: str, missing: Level, consequence: str) -> Finding:
    """Return what a failed request means and what to do; a missing scope gets the level ``missing``."""
    if _is_missing_scope(error):
        detail = f"{scope} is missing, so {consequence}; add it to the token in Polar's dashboard"
        return Finding(level=missing, what="scope", detail=detail)
    what, text = _explain(error)
    return Finding(level="error", what=what, detail=f"{consequence}: {text}")


def _explain(error: PolarError) -> tuple[str, str]:
    match error:
        case PolarDeniedError(status=HTTPStatus.UNAUTHORIZED):
            return "token", (
                "Polar refuses the token: it has expired, was revoked or belongs to another server. Set "
                "POLAR_SERVER to where it was created (the sandbox has its own tokens), or create a new one"
            )
        case PolarDeniedError():
            return "server", (
                f"{error}, so there is no Polar API of version {API_VERSION}; set POLAR_SERVER to "
                "production, sandbox, or the base URL of a Polar server, without /v1"
            )
        case PolarRateLimitedError():
            seconds = round(error.retry_after_seconds)
            return "polar", f"Polar's rate limit is reached; check again in {seconds} s"
        case PolarBrokenError():
            return "polar", f"{error}; the problem is on Polar's side: check again later"
    return "polar", (f"{error}; is POLAR_SERVER right and reachable from here? If so, check again later")

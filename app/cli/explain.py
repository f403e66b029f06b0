"""``credits explain``: why a webhook led to the credit that it did, or to none; touches nothing."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from redis.exceptions import RedisError
from rich.text import Text

from app.cli.output import (
    Cell,
    claims_rows,
    console,
    delivery_json,
    erased_text,
    grants_json,
    iso,
    literal,
    planned_json,
    print_json,
    print_table,
    status_text,
    where,
)
from app.cli.root import Json, root, settings_for
from app.cli.shapes import ExplanationJson, RuleJson
from app.errors import CommandError
from config.errors import ConfigError
from config.rules import NO_RULES, Rules, load_rules
from config.settings import Settings
from workers.core.claims import Claim, Standing
from workers.core.delivery import Delivery, Status
from workers.core.delivery_plans import PlannedDelivery, plan_delivery
from workers.core.envelope import ORDER_PAID, peek_type
from workers.core.grants import Grant, order_subject
from workers.core.planning import Plan
from workers.core.wording import credits_text, plain, utc
from workers.embedded.server import EmbeddedError
from workers.operations.explain import Explanation, RuleView, explain
from workers.store.stores import Stores, stores

_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_MOST_READ = 1_000  # bodies, one by one: a tenth of a second


@root.command("explain")
def explain_command(
    what: Annotated[
        str, typer.Argument(help="A file with a webhook's body, a delivery's id, or an order's.")
    ],
    json: Json = False,
) -> None:
    """Say why a webhook led to credit, or to none.

    Shows what each rule makes of it, with the first condition that failed and what it saw. Touches nothing.

    Example: credits explain 2d568d44-4cac-4ddb-ba1c-e3a1e54e1735
    """
    settings = settings_for("explain", quiet=True)
    body = _body(what)
    rules = load_rules(settings.rules_path) if body is not None else _rules_if_any(settings)
    if body is not None:
        explanation, deliveries = _of_body(body, settings, rules), list[Delivery]()
    else:
        with _ledger(settings) as held:
            explanation, deliveries = _of_id(what, held, rules, settings)
    if rules is NO_RULES:
        explanation = replace(explanation, outlook="not told: the rules cannot be used")
    if json:
        print_json(_json(explanation, deliveries))
    else:
        _print(explanation, deliveries, f"{settings.rules_path}, version {rules.digest}")


def _rules_if_any(settings: Settings) -> Rules:
    """Return the rules in the file, or none if it is broken: what came of a delivery does not hang on it."""
    try:
        return load_rules(settings.rules_path)
    except ConfigError as error:
        first = str(error).partition("\n")[0]
        console(stderr=True).print(literal(f"without rules, as they cannot be used: {first}"))
        return NO_RULES


def _body(what: str) -> bytes | None:
    """Return what is in the file ``what``; None if it is no file but an id."""
    try:
        return Path(what).read_bytes()
    except OSError as error:
        if error.errno in _NO_FILE:
            return None
        raise CommandError(f"{what}: {error.strerror}") from None


def _of_body(body: bytes, settings: Settings, rules: Rules) -> Explanation:
    planned = plan_delivery(peek_type(body) or "", body, rules)
    try:
        with _ledger(settings) as held:
            standing = _standing(planned, held)
    except (RedisError, EmbeddedError) as error:
        console(stderr=True).print(literal(f"by the rules alone, as the ledger cannot be asked: {error}"))
        standing = _standing(planned, None)
    return explain(planned, rules, standing)


def _of_id(
    what: str, held: Stores | None, rules: Rules, settings: Settings
) -> tuple[Explanation, list[Delivery]]:
    """Return what explains a delivery, or of an order's deliveries the one that tells of its payment."""
    if held is None:
        raise _unknown(what, settings)
    found = held.deliveries.get([what]) or [*held.deliveries.about_order(what), *_unsettled(what, held)]
    if not found:
        return _of_ledger(what, held, settings), []
    one = max(found, key=lambda each: (not each.erased_at, each.type == ORDER_PAID, each.received_at))
    told = sorted(found, key=lambda each: each.received_at)
    if one.erased_at:
        return _of_erased(one, held), told
    planned = plan_delivery(one.type, held.deliveries.body(one.id), rules)
    return explain(planned, rules, _standing(planned, held)), told


def _of_erased(one: Delivery, held: Stores) -> Explanation:
    """Return what is left to say: what came of it, and what the ledger has."""
    standing = held.ledger.find(one.subject or "")
    outlook = f"nothing: {erased_text(one)} (credits forget), and what was granted stands"
    return Explanation(type=one.type, fact=None, rules=(), plan=None, standing=standing, outlook=outlook)


def _unsettled(order_id: str, held: Stores) -> list[Delivery]:
    """Return the waiting deliveries about an order: nobody has noted yet what they are about."""
    newest = islice(held.deliveries.newest([Status.WAITING]), _MOST_READ)
    return [one for one in newest if _is_about(order_id, one.type, held.deliveries.body(one.id))]


def _is_about(order_id: str, type_: str, body: bytes) -> bool:
    if order_id.encode() not in body:
        return False
    plan = plan_delivery(type_, body, NO_RULES).plan
    return plan is not None and plan.order_id == order_id


def _of_ledger(order_id: str, held: Stores, settings: Settings) -> Explanation:
    """Return what the ledger has of an order whose deliveries are no longer kept."""
    standing = held.ledger.find(order_subject(order_id))
    if not standing.claims:
        raise _unknown(order_id, settings)
    outlook = "nothing: its delivery is no longer kept, and what was granted stands"
    return Explanation(type=ORDER_PAID, fact=None, rules=(), plan=None, standing=standing, outlook=outlook)


def _unknown(what: str, settings: Settings) -> CommandError:
    return CommandError(
        f"{what} is no file, and nothing is known here of a delivery or an order of this id: "
        f"has its webhook come? `credits deliveries` lists what is kept; the store is {where(settings)}"
    )


@contextmanager
def _ledger(settings: Settings) -> Iterator[Stores | None]:
    """Yield the stores if there are any: a file can be explained where nothing was ever installed."""
    if settings.redis_url is None and not settings.data_dir.exists():
        yield None
        return
    with stores(settings) as held:
        yield held


def _standing(planned: PlannedDelivery, held: Stores | None) -> Standing:
    plan = planned.plan or Plan(subject="")
    if held is None:
        return Standing(subject=plan.subject)
    return held.ledger.find_for_plan(plan)


def _json(one: Explanation, deliveries: Sequence[Delivery]) -> ExplanationJson:
    fact, plan = one.fact, one.plan
    return {
        "type": one.type,
        "trigger": fact.trigger if fact else None,
        "moment": iso(fact.moment) if fact else None,
        "order_id": plan.order_id if plan else None,
        "customer_id": plan.customer_id if plan else None,
        "product_id": fact.product_id if fact else None,
        "refunded_amount": plan.refund.amount if plan and plan.refund else None,
        "rules": [_rule_json(rule) for rule in one.rules],
        "planned": [planned_json(grant) for grant in _planned(one)],
        "grants": [grant for claim in _claims(one) for grant in grants_json(claim)],
        "outlook": one.outlook,
        "deliveries": [delivery_json(each) for each in deliveries],
    }


def _claims(one: Explanation) -> Sequence[Claim]:
    return (*one.standing.claims, *one.standing.elsewhere)


def _planned(one: Explanation) -> Sequence[Grant]:
    """Return what today's rules would grant, but for what the customer has had already."""
    had = {claim.subject for claim in one.standing.elsewhere}
    return [grant for grant in one.plan.grants if grant.subject not in had] if one.plan else ()


def _rule_json(one: RuleView) -> RuleJson:
    return {"rule": one.rule, "matches": one.matches, "because": one.because, "fails": one.fails}


def _print(one: Explanation, deliveries: Sequence[Delivery], rules_name: str) -> None:
    print_table(["", ""], [["type", one.type or "no webhook that can be read"], *_fact_rows(one)])
    if one.rules:
        console().print()
        console().print(literal(rules_name))
        rows: list[list[Cell]] = [[_sign(rule), rule.rule, rule.because] for rule in one.rules]
        print_table(["", "", ""], rows)
    console().print()
    rows = claims_rows(_claims(one))
    rows += [
        ["would be", f"{credits_text([grant])}, as {grant.key}"]
        for grant in _planned(one)
        if not one.standing.claims
    ]
    if len(one.standing.claims) > 1:
        rows.append(["all in all", _sums(one.standing.claims)])
    rows += [["delivery", _delivery_text(each)] for each in deliveries]
    print_table(["", ""], [*rows, ["if run now", one.outlook]])


def _sums(claims: Sequence[Claim]) -> str:
    """Return what all claims together come to, on each meter."""
    sums: dict[str, Decimal] = {}
    for grant in (grant for claim in claims for grant in claim.grants):
        sums[grant.meter] = sums.get(grant.meter, Decimal(0)) + grant.units
    return ", ".join(f"{plain(units)} {meter}" for meter, units in sums.items())


def _fact_rows(one: Explanation) -> Iterator[list[Cell]]:
    if one.fact:
        yield ["is", str(one.fact.trigger or "nothing that rules can name")]
        yield ["happened", utc(one.fact.moment)]
        yield ["product", one.fact.product_id or "-"]
    if one.plan:
        yield ["order", one.plan.order_id or "-"]
        yield ["customer", one.plan.customer_id or "-"]
    if one.plan and one.plan.refund:
        share = float(one.plan.refund.share * 100)
        yield ["refunded", f"{one.plan.refund.amount} all told, in cents: {share:.4g} % of what was paid"]


def _sign(rule: RuleView) -> Text:
    if rule.fails:
        return Text("fails", style="red")
    return Text("matches" if rule.matches else "does not", style="green" if rule.matches else "yellow")


def _delivery_text(one: Delivery) -> Text:
    received = f"{one.id}, received {utc(one.received_at)}, "
    reason = f": {one.reason}" if one.reason else ""
    return Text.assemble(literal(received), status_text(one.status), literal(reason))

"""``credits explain``: why a webhook was credited or not."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click
from redis.exceptions import RedisError
from rich.text import Text

from app.cli.customer_options import (
    NEWEST_FACTS,
    customer_option,
    email_option,
    external_customer_option,
    find_customer_id,
    named_customer,
)
from app.cli.find_delivery import deliveries_starting_with, find_deliveries
from app.cli.options import json_option
from app.cli.output import (
    Cell,
    claim_rows,
    console,
    describe_store,
    literal,
    print_json,
    print_table,
    status_text,
)
from app.cli.progress import show_progress
from app.cli.settings import read_settings
from app.cli.shapes import ExplanationJson, RuleJson
from app.cli.stores import open_stores_to_read
from app.cli.story import print_story, print_story_json
from app.cli.to_json import delivery_json, grants_json, iso, planned_json, series_json
from app.cli.upcoming_output import upcoming_json, upcoming_rows
from app.cli.webhook_source import Sample, changes_option, product_option, read_webhook, sample_option
from app.errors import CommandError
from config.errors import ConfigError
from config.rules import NO_RULES, Rules, load_rules
from config.settings import Settings
from workers.core.customers import CustomerName
from workers.core.delivery import Delivery
from workers.core.facts import Fact
from workers.core.upcoming import upcoming
from workers.core.wording import credits_text, plain, utc
from workers.embedded.folder import EmbeddedError
from workers.operations.explain.explanation import Explanation, RuleView
from workers.operations.explain.lookup import Explained, Explainer, explain_body
from workers.operations.history import CustomerHistory, History, Totals, totals_of
from workers.operations.whole_history import read_whole_history
from workers.store.audit import Audit
from workers.store.stores import Stores, stores

_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


@click.command("explain")
@click.argument(
    "what", required=False, help="A file with a webhook's body, a delivery's id, or an order's id."
)
@sample_option
@product_option
@changes_option
@customer_option
@external_customer_option
@email_option
@json_option
def explain(
    *,
    what: str | None,
    sample_name: str | None,
    product: str | None,
    changes: tuple[str, ...],
    customer: str | None,
    external_customer: str,
    email: str,
    json: bool,
) -> None:
    """Show why a webhook was credited or not, a customer's whole story, or what rules make of a sample.

    Lists what each rule grants, or the first condition that it fails and the value it saw. For a customer it
    lists every delivery that is kept, what became of it, and what they were given in all; if there are more
    than a thousand orders, the deliveries of the newest thousand. Changes nothing.

    Example: credits explain 2d568d44-4cac-4ddb-ba1c-e3a1e54e1735

    Example: credits explain --email ada@example.com

    Example: credits explain --sample purchase --set order.metadata.campaign=bf26
    """
    name = named_customer(customer, external_customer, email)
    if sum(one is not None for one in (what, sample_name, name)) != 1:
        raise click.UsageError("give a file or an id, or a customer, or --sample NAME")
    settings = read_settings("explain")
    if name is not None:
        _explain_customer(name, settings, json=json)
        return
    body = _body(what, sample_name, product, changes)
    rules = load_rules(settings.rules_path) if body is not None else _load_rules_if_valid(settings)
    explained = (
        _explain_id(what or "", settings, rules) if body is None else _explain_body(body, settings, rules)
    )
    if json:
        print_json(_json(explained.explanation, explained.deliveries))
    else:
        rules_name = f"{settings.rules_path}, version {rules.digest}"
        _print(explained.explanation, explained.deliveries, rules_name)


def _explain_customer(name: CustomerName, settings: Settings, *, json: bool) -> None:
    with open_stores_to_read(settings) as held:
        customer_id = find_customer_id(name, settings, held)
        whole = _history(held)
        if json:  # a program gets every grant; a person reads what is new
            print_story_json(read_whole_history(whole, customer_id))
            return
        history = whole.newest_of_customer(customer_id, NEWEST_FACTS)
        products = held.deliveries.product_names(one.id for one in history.deliveries)
        if history.has_older:
            text = f"what happened is listed of the newest {NEWEST_FACTS} orders; the totals are of all"
            console(stderr=True).print(literal(text))
        print_story(history, products, partial(_totals, whole.audit, history))


def _totals(audit: Audit, history: CustomerHistory) -> Totals:
    """Return what the customer was given in all. This takes seconds if there are very many orders."""
    if not history.has_older:
        return history.totals
    with show_progress("adding up all orders", json=False) as update:
        return totals_of(audit.sums_of_customer(history.customer_id, lambda read: update(read, 0)))


def _history(held: Stores) -> History:
    return History(deliveries=held.deliveries, audit=Audit(held.redis, held.ledger))


def _load_rules_if_valid(settings: Settings) -> Rules:
    """Return the rules, or none if their file is broken: what became of a delivery can still be shown."""
    try:
        return load_rules(settings.rules_path)
    except ConfigError as error:
        first = str(error).partition("\n")[0]
        console(stderr=True).print(literal(f"explaining without the rules, which cannot be used: {first}"))
        return NO_RULES


def _body(
    what: str | None, sample_name: str | None, product: str | None, changes: Sequence[str]
) -> bytes | None:
    """Return the body of the sample or the file; None if there is no file: then ``what`` is an id."""
    if sample_name is not None:
        return read_webhook(Sample(name=sample_name, product=product), changes)
    if product is not None:
        raise click.UsageError("--product changes a sample: use --set for a file")
    if what is not None and _is_file(what):
        return read_webhook(Path(what), changes)
    if changes:
        raise click.UsageError("--set changes a sample or a file, not what is stored")
    return None


def _is_file(name: str) -> bool:
    try:
        Path(name).stat()
    except OSError as error:
        if error.errno in _NO_FILE:
            return False
        raise CommandError(f"{name}: {error.strerror}") from None
    return True


def _explain_body(body: bytes, settings: Settings, rules: Rules) -> Explained:
    try:
        with _open_stores_if_any(settings) as held:
            return Explained(explanation=explain_body(body, rules, held.ledger if held else None))
    except (RedisError, EmbeddedError) as error:
        text = f"explaining by the rules alone, as the ledger cannot be read: {error}"
        console(stderr=True).print(literal(text))
        return Explained(explanation=explain_body(body, rules, None))


def _explain_id(id_: str, settings: Settings, rules: Rules) -> Explained:
    with _open_stores_if_any(settings) as held:
        if held is not None:
            explainer = Explainer(
                deliveries=held.deliveries, ledger=held.ledger, history=_history(held), rules=rules
            )
            if found := explainer.explain_id(id_):
                return found
            if deliveries_starting_with(held, [id_])[id_]:
                (one,) = find_deliveries(held, [id_])
                if found := explainer.explain_id(one.id):
                    return found
    raise CommandError(
        f"{id_} is not a file, nor the id of a delivery or an order that is stored here: "
        f"has its webhook arrived? `credits deliveries` lists those that are kept; "
        f"the store is {describe_store(settings)}"
    )


@contextmanager
def _open_stores_if_any(settings: Settings) -> Iterator[Stores | None]:
    """Yield the stores, or None before the first start: explaining a file must not create a server."""
    if settings.redis_url is None and not settings.data_dir.exists():
        yield None
        return
    with stores(settings) as held:
        yield held


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
        "planned": [planned_json(grant) for grant in one.planned],
        "instalments": [series_json(series) for series in one.series],
        "grants": [grant for claim in one.claims for grant in grants_json(claim)],
        "upcoming": [upcoming_json(each) for each in upcoming(one.standing)],
        "outlook": one.outlook,
        "deliveries": [delivery_json(each) for each in deliveries],
    }


def _rule_json(one: RuleView) -> RuleJson:
    return {"rule": one.rule, "matches": one.matches, "because": one.because, "fails": one.fails}


def _print(one: Explanation, deliveries: Sequence[Delivery], rules_name: str) -> None:
    print_table(["", ""], [["type", one.type or "not a readable webhook"], *_fact_rows(one)])
    if one.rules:
        console().print()
        console().print(literal(rules_name))
        print_table(["", "", ""], [_rule_row(rule) for rule in one.rules])
    console().print()
    rows = claim_rows(one.claims)
    if not one.standing.claims:
        rows += [["would grant", f"{credits_text([grant])}, key {grant.key}"] for grant in one.planned]
        rows += [["and then", series.text] for series in one.series]
    if len(one.standing.claims) > 1:
        totals = ", ".join(f"{plain(units)} {meter}" for meter, units in one.totals.items())
        rows.append(["total", totals])
    rows += upcoming_rows(one.standing)
    rows += [["delivery", _delivery_text(each)] for each in deliveries]
    print_table(["", ""], [*rows, ["if run now", one.outlook]])


def _fact_rows(one: Explanation) -> Iterator[list[Cell]]:
    if one.fact:
        yield ["trigger", str(one.fact.trigger or "none that a rule can name")]
        yield ["happened", utc(one.fact.moment)]
        yield ["product", _product_text(one.fact)]
    if one.plan:
        yield ["order", one.plan.order_id or "-"]
        yield ["customer", one.plan.customer_id or "-"]
    if one.plan and one.plan.refund:
        share = float(one.plan.refund.share * 100)
        yield ["refunded", f"{one.plan.refund.amount} cents in total, {share:.4g} % of what was paid"]
    if one.plan and one.plan.dispute:
        yield ["lost dispute", f"{float(one.plan.dispute.share * 100):.4g} % of what was paid"]


def _product_text(fact: Fact) -> str:
    name = fact.product_name
    id_ = fact.product_id or "-"
    return f"{name} ({id_})" if name else id_


def _rule_row(rule: RuleView) -> list[Cell]:
    if rule.fails:
        return [Text("error", style="red"), rule.rule, rule.because]
    if rule.matches:
        return [Text("match", style="green"), rule.rule, rule.because]
    return [Text("no match", style="yellow"), rule.rule, f"({rule.because})"]


def _delivery_text(one: Delivery) -> Text:
    received = f"{one.id}, received {utc(one.received_at)}, "
    reason = f": {one.reason}" if one.reason else ""
    return Text.assemble(literal(received), status_text(one.status), literal(reason))

"""``credits balance``: a customer's balance at Polar, beside what was granted."""

from collections.abc import Collection, Sequence
from contextlib import closing

import click

from app.cli.customer_lookup import unknown_customer_text
from app.cli.customer_options import (
    customer_option,
    email_option,
    external_customer_option,
    named_customer,
)
from app.cli.options import json_option
from app.cli.output import Cell, console, literal, print_json, print_table
from app.cli.progress import show_progress, show_wait
from app.cli.settings import read_settings
from app.cli.shapes import BalanceJson
from app.cli.stores import open_stores_to_read
from app.cli.to_json import json_number
from app.errors import CommandError
from config.errors import ConfigError
from config.rules import load_rules
from config.settings import Settings
from config.wording import format_count
from workers.core.customers import CustomerName, NameKind
from workers.core.wording import plain
from workers.operations.balance import Balance, BalanceReader
from workers.operations.customers import Customers
from workers.operations.pacing import Pacer
from workers.polar.client import Polar
from workers.runtime.polar import polar_for
from workers.store.audit import Audit


@click.command("balance")
@customer_option
@external_customer_option
@email_option
@click.option("--all", "all_", is_flag=True, help="Also show meters that have nothing to do with us.")
@json_option
def balance(*, customer: str | None, external_customer: str, email: str, all_: bool, json: bool) -> None:
    """Show a customer's balance at Polar, beside what was granted.

    Lists the meters of the rules, and others that we granted credits on. With --all, or --json, it lists
    every meter that the customer has at Polar. For each meter: the credits left at Polar (negative if the
    customer used more than they had), and what the ledger has granted and taken back. Polar's balance
    includes a grant after a few seconds.

    Example: credits balance --email ada@example.com
    """
    name = named_customer(customer, external_customer, email)
    if name is None:
        raise click.UsageError("give one of --customer, --external-customer and --email")
    settings = read_settings("balance")
    with closing(polar_for(settings)) as polar, open_stores_to_read(settings) as held:
        pacer = Pacer(throttle=held.throttle, show_wait=show_wait, fail_fast=True)
        audit = Audit(held.redis, held.ledger)
        customer_id = _find(name, polar, pacer)
        with show_progress("adding up all orders", json=json) as update:
            reader = BalanceReader(polar=polar, pacer=pacer, audit=audit)
            found = reader.read(customer_id, on_read=lambda read: update(read, 0))
    ours = _meters(settings)
    found.sort(key=lambda one: one.meter not in ours)
    shown = [one for one in found if all_ or _concerns_us(one, ours)]
    if json:
        print_json([_json(one) for one in found])
    elif found:
        _print(shown, left_out=len(found) - len(shown))
    else:
        console().print("this customer has no balance at Polar and was granted nothing")


def _find(name: CustomerName, polar: Polar, pacer: Pacer) -> str:
    ids = Customers(polar, pacer).find([name], lambda _done, _whole: None)
    if name in ids:
        return ids[name]
    message = unknown_customer_text(name)
    if name.kind is not NameKind.ID:
        raise CommandError(message)
    console(stderr=True).print(literal(f"{message}; this is what the ledger has"))
    return name.text


def _meters(settings: Settings) -> Collection[str]:
    """Return the meters that the rules can credit; none if the rules cannot be used."""
    try:
        return load_rules(settings.rules_path).meters
    except ConfigError:
        return ()


def _concerns_us(one: Balance, ours: Collection[str]) -> bool:
    return one.meter in ours or bool(one.granted or one.taken_back or one.not_at_polar_yet)


def _print(found: Sequence[Balance], *, left_out: int) -> None:
    columns = ["meter", "left at Polar", "granted", "taken back", "Polar's name for the meter"]
    rows: list[list[Cell]] = [
        [
            one.meter,
            "-" if one.balance is None else plain(one.balance),
            plain(one.granted),
            plain(one.taken_back),
            one.polar_meter or "-",
        ]
        for one in found
    ]
    if rows:
        print_table(columns, rows)
    if left_out:
        note = f"{format_count(left_out, 'meter')} that no rule credits: --all shows them"
        console().print(literal(note))
    for one in found:
        if one.not_at_polar_yet:
            console().print(literal(f"not at Polar yet: {plain(one.not_at_polar_yet)} {one.meter}"))


def _json(one: Balance) -> BalanceJson:
    return {
        "meter": one.meter,
        "polar_meter": one.polar_meter,
        "balance": None if one.balance is None else json_number(plain(one.balance)),
        "granted": json_number(plain(one.granted)),
        "taken_back": json_number(plain(one.taken_back)),
        "not_at_polar_yet": json_number(plain(one.not_at_polar_yet)),
    }

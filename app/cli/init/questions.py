"""Asks the questions of ``credits init`` that make a rule, on a terminal."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from app.cli.init.answers import (
    names_products,
    products_for,
    read_meter,
    read_product,
    read_template,
    read_units,
    sold,
)
from app.cli.output import console, literal
from app.cli.tables import lay_out
from config.rules import Meter
from config.rules.starter import StarterProduct, StarterRule, Template
from workers.operations.init.shop import MeterChoice
from workers.polar.catalogue import PolarProduct

T = TypeVar("T")

_MOST_SHOWN = 20  # more would scroll the question out of sight


def tell(text: str = "") -> None:
    """Print lines beside the questions, on standard error."""
    for line in text.split("\n"):
        console(stderr=True).print(literal(line))


def ask(question: str, read: Callable[[str], T], *, default: str | None = None, hidden: bool = False) -> T:
    """Ask until ``read`` accepts the answer; its ValueError says what is wrong."""
    while True:
        answer = click.prompt(
            question, default=default, show_default=bool(default), hide_input=hidden, err=True, type=str
        )
        try:
            return read(answer.strip())
        except ValueError as error:
            tell(f"  {error}")


def ask_for_rules(
    products: Sequence[PolarProduct], meters: Sequence[MeterChoice], refusal: Callable[[StarterRule], str]
) -> list[StarterRule]:
    """Ask for rules until the person has no other; ``refusal`` says why one cannot be used, "" if it can."""
    chosen: list[StarterRule] = []
    while not chosen or click.confirm("Another rule?", err=True):
        template = _ask_for_template(products)
        rule = StarterRule(
            template=template,
            products=_ask_for_products(template, products),
            meter=_ask_for_meter(meters),
            units=ask("How many credits", read_units),
        )
        if problem := refusal(rule):
            tell(problem)
        else:
            chosen.append(rule)
    return chosen


def _ask_for_template(products: Sequence[PolarProduct]) -> Template:
    tell("\nWhat gives credits? You can add any other rule later: docs/cookbook has thirty.")
    _show_menu([[one.value, one.description] for one in Template])

    def read(text: str) -> Template:
        template = read_template(_chosen(text, [one.value for one in Template]))
        if names_products(template) and not products_for(template, products):
            raise ValueError(
                f"Polar has no product {sold(template)}: create one there, or choose another kind"
            )
        return template

    return ask("Kind of rule", read)


def _ask_for_products(template: Template, products: Sequence[PolarProduct]) -> tuple[StarterProduct, ...]:
    if not names_products(template):
        return ()
    fitting = products_for(template, products)
    tell(f"\nYour products that are {sold(template)}:")
    _show_menu([[one.name, _interval(one), one.id] for one in fitting])

    def read(text: str) -> tuple[StarterProduct, ...]:
        wanted = (_chosen(piece.strip(), [one.id for one in fitting]) for piece in text.split(","))
        return tuple(dict.fromkeys(read_product(one, template, products) for one in wanted))

    question = "Which product (or several, separated by commas)"
    return ask(question, read, default="1" if len(fitting) == 1 else None)


def _ask_for_meter(meters: Sequence[MeterChoice]) -> Meter:
    if len(meters) == 1:
        return meters[0].meter
    tell("\nYour meters that can hold credits:")
    _show_menu([[one.meter.name, f"sums {one.meter.property}", one.title] for one in meters])
    names = [one.meter.name for one in meters]
    return ask("Which meter gets the credits", lambda text: read_meter(_chosen(text, names), meters))


def _chosen(text: str, values: Sequence[str]) -> str:
    """Return the value with the number that a menu gave it; any other text as it is."""
    return values[int(text) - 1] if text.isdecimal() and 1 <= int(text) <= len(values) else text


def _interval(product: PolarProduct) -> str:
    return f"each {product.recurring_interval}" if product.recurring_interval else ""


def _show_menu(rows: Sequence[Sequence[str]]) -> None:
    """Show numbered rows; of many, the first ones."""
    numbered = [[f"  {number}", *row] for number, row in enumerate(rows[:_MOST_SHOWN], start=1)]
    out = console(stderr=True)
    texts = [[literal(cell) for cell in row] for row in numbered]
    for line in lay_out([""] * len(texts[0]), texts, out.width):
        out.print(line)
    if len(rows) > _MOST_SHOWN:
        tell(f"  ... and {len(rows) - _MOST_SHOWN} more: write a part of the name")

"""Reads the answers to ``credits init``, from options or a terminal. A ValueError says what is wrong."""

import re
from collections.abc import Callable, Sequence

from config.rules import Meter
from config.rules.starter import StarterProduct, Template
from config.wording import closest, quoted
from workers.operations.init.shop import MeterChoice
from workers.polar.catalogue import PolarProduct

_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_MOST_NAMED = 10

_FITTING: dict[Template, Callable[[PolarProduct], bool]] = {
    Template.PACK: lambda one: not one.is_recurring,
    Template.PLAN: lambda one: one.is_recurring and one.recurring_interval != "year",
    Template.TRIAL: lambda one: one.is_recurring,
    Template.YEARLY: lambda one: one.recurring_interval == "year",
}
_SOLD = {
    Template.PACK: "sold once",
    Template.PLAN: "sold by subscription, other than yearly",
    Template.TRIAL: "sold by subscription",
    Template.YEARLY: "sold by yearly subscription",
}


def names_products(template: Template) -> bool:
    """Return whether rules of this kind are for certain products."""
    return template in _FITTING


def products_for(template: Template, products: Sequence[PolarProduct]) -> list[PolarProduct]:
    """Return the products to which the template's triggers can apply."""
    return [one for one in products if _FITTING[template](one)] if names_products(template) else []


def sold(template: Template) -> str:
    """Return how the template's products are sold, as in "no product sold once"."""
    return _SOLD[template]


def read_units(text: str) -> str:
    """Return a number of credits: above 0, with at most six decimals."""
    if _NUMBER.fullmatch(text) is None or not float(text):
        raise ValueError(f"{quoted(text)} is not a number of credits, such as 1000")
    return text


def read_template(text: str) -> Template:
    """Return the template with this name."""
    names = [one.value for one in Template]
    if text not in names:
        raise ValueError(f"write one of {', '.join(names)}")
    return Template(text)


def read_product(text: str, template: Template, products: Sequence[PolarProduct]) -> StarterProduct:
    """Return the product with this id or name, or the only one with this text in its name."""
    fitting = products_for(template, products)
    word = text.lower()
    found = [one for one in fitting if word in {one.id, one.name.lower()}]
    found = found or [one for one in fitting if word and word in one.name.lower()]
    if len(found) == 1:
        return StarterProduct(id=found[0].id, title=found[0].name)
    if not found:
        raise ValueError(
            f"no product {sold(template)} is named {quoted(text)}{_why_not(text, template, products)}"
        )
    names = ", ".join(f"{quoted(one.name)} ({one.id})" for one in found[:_MOST_NAMED])
    raise ValueError(f"several products match {quoted(text)}; give the id of one: {names}")


def _why_not(text: str, template: Template, products: Sequence[PolarProduct]) -> str:
    """Return which kinds of rule fit a product that is sold in another way, or which products would do."""
    for one in products:
        if text.lower() in {one.id, one.name.lower()}:
            kinds = [kind.value for kind, fits in _FITTING.items() if fits(one)]
            return f"; it is sold otherwise: choose {' or '.join(kinds)}"
    names = [quoted(one.name) for one in products_for(template, products)[:_MOST_NAMED]]
    return f"; Polar has {', '.join(names)}" if names else "; create it at Polar first"


def read_meter(text: str, meters: Sequence[MeterChoice]) -> Meter:
    """Return the meter with this event name or title."""
    for one in meters:
        if text in {one.meter.name, one.title}:
            return one.meter
    close = closest(text, [one.meter.name for one in meters])
    hint = f"; did you mean {quoted(close)}?" if close else ""
    raise ValueError(f"no meter that can hold credits is named {quoted(text)}{hint}")

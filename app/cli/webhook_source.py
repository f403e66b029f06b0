"""The webhook that a command works on: a file, or a sample with other ids, either with changed fields."""

from collections.abc import Sequence
from pathlib import Path

import click
from msgspec import Struct

from app.cli.options import parse_customer_id, parse_order_id, parse_product_id
from app.errors import CommandError
from config.samples import SAMPLES, make_sample
from config.samples.changes import ChangeError, apply_changes
from config.wording import quoted

sample_option = click.option(
    "--sample", "sample_name", metavar="NAME", help=f"A sample instead: {', '.join(SAMPLES)}."
)
product_option = click.option(
    "--product", type=parse_product_id, metavar="ID", help="Put this product into the sample."
)
customer_in_sample_option = click.option(
    "--customer", type=parse_customer_id, metavar="ID", help="Put this customer into the sample."
)
order_in_sample_option = click.option(
    "--order", type=parse_order_id, metavar="ID", help="Put this order into the sample, e.g. one to refund."
)
changes_option = click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="PATH=VALUE",
    help="Change a field, such as order.metadata.plan=gold; may be repeated.",
)


class Sample(Struct, frozen=True, kw_only=True):
    """A sample by its name, and the ids that replace its own."""

    name: str
    product: str | None = None
    customer: str | None = None
    order: str | None = None

    def body(self) -> bytes:
        """Return the body as if the sample were sent now; UsageError for an unknown name."""
        if self.name not in SAMPLES:
            raise click.UsageError(f"no sample {quoted(self.name)}; there are {', '.join(SAMPLES)}")
        return make_sample(self.name, product=self.product, customer=self.customer, order=self.order)


def read_webhook(source: Path | Sample, changes: Sequence[str]) -> bytes:
    """Return the body of a file or sample with these changes; without changes a file's bytes are kept."""
    try:
        body = source.read_bytes() if isinstance(source, Path) else source.body()
    except OSError as error:
        raise CommandError(f"{source}: {error.strerror}") from None
    try:
        return apply_changes(body, changes or [])
    except ChangeError as error:
        raise click.UsageError(f"--set: {error}") from None

"""The webhook that a command works on: a file, or a sample with other ids, either with changed fields."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import parse_customer_id, parse_order_id, parse_product_id
from app.errors import CommandError
from config.samples import SAMPLES, make_sample
from config.samples.changes import ChangeError, apply_changes
from config.wording import quoted

SampleName = Annotated[
    str | None, typer.Option("--sample", metavar="NAME", help=f"A sample instead: {', '.join(SAMPLES)}.")
]
Product = Annotated[
    str | None,
    typer.Option(
        "--product", metavar="ID", parser=parse_product_id, help="Put this product into the sample."
    ),
]
CustomerInSample = Annotated[
    str | None,
    typer.Option(
        "--customer", metavar="ID", parser=parse_customer_id, help="Put this customer into the sample."
    ),
]
OrderInSample = Annotated[
    str | None,
    typer.Option(
        "--order",
        metavar="ID",
        parser=parse_order_id,
        help="Put this order into the sample, e.g. one to refund.",
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change a field, such as order.metadata.plan=gold; may be repeated.",
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A sample by its name, and the ids that replace its own."""

    name: str
    product: str | None = None
    customer: str | None = None
    order: str | None = None

    def body(self) -> bytes:
        """Return the body as if the sample were sent now; BadParameter for an unknown name."""
        if self.name not in SAMPLES:
            raise typer.BadParameter(f"no sample {quoted(self.name)}; there are {', '.join(SAMPLES)}")
        return make_sample(self.name, product=self.product, customer=self.customer, order=self.order)


def read_webhook(source: Path | Sample, changes: list[str] | None) -> bytes:
    """Return the body of a file or sample with these changes; without changes a file's bytes are kept."""
    try:
        body = source.read_bytes() if isinstance(source, Path) else source.body()
    except OSError as error:
        raise CommandError(f"{source}: {error.strerror}") from None
    try:
        return apply_changes(body, changes or [])
    except ChangeError as error:
        raise typer.BadParameter(f"--set: {error}") from None

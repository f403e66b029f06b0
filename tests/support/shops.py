"""A merchant's organization at Polar and an empty folder, for the tests of ``credits init``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.demo.polar import Polar, create_app
from app.demo.polar.organization import SETUP_SCOPES
from tests.support.builders import some_id
from tests.support.catalogues import goods
from tests.support.processes import TOKEN, Credits, some_polar
from tests.support.servers import running

PUBLIC_URL = "https://credits.invalid"  # a name that never leads anywhere
HOOKS = f"{PUBLIC_URL}/webhooks/polar"
PLAN, YEARLY = some_id(2), some_id(3)
PACK = ("--template", "pack", "--product", "Credit pack", "--units", "1000")
SETTINGS = ("--public-url", PUBLIC_URL)


def stocked_polar() -> Polar:
    """Return an organization with a meter, three products and a token that may do everything."""
    polar = some_polar()
    polar.scopes = SETUP_SCOPES
    polar.add_product(**goods("Credit pack"))
    polar.add_product(**goods("Pro plan", product_id=PLAN, every="month"))
    polar.add_product(**goods("Pro yearly", product_id=YEARLY, every="year"))
    return polar


@contextmanager
def shop_in(folder: Path, polar: Polar, redis_url: str) -> Iterator[Credits]:
    """Yield the commands in an empty folder, with Redis, the token and the server in the environment."""
    with running(create_app(polar)) as url:
        known = {"POLAR_ACCESS_TOKEN": TOKEN, "POLAR_SERVER": url, "REDIS_URL": redis_url}
        yield Credits(folder=folder, settings=known)

"""Takes the screenshots of docs/desk.md: ``make screenshots``."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from tests.support.chromium import NARROW, WIDE, Scheme, chromium, window
from tests.support.desk import desk_at
from tests.support.desk_story import RULES, tell_story
from tests.support.paths import ROOT
from tests.support.polar_standin import CUSTOMER
from workers.embedded.server import EmbeddedRedis

FOLDER = ROOT / "docs" / "desk"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """A page as it is seen in a window of this size."""

    name: str
    page: str
    size: tuple[int, int] = WIDE
    scheme: Scheme = "light"


SHOTS: Sequence[Shot] = (
    Shot(name="overview", page="overview"),
    Shot(name="overview-phone", page="overview", size=NARROW, scheme="dark"),
    Shot(name="deliveries", page="deliveries"),
    Shot(name="delivery", page="delivery?id=msg-unknown"),
    Shot(name="customer", page=f"customer?id={CUSTOMER}", scheme="dark"),
    Shot(name="replay", page="replay?id=msg-unknown"),
)


def main() -> None:
    """Write docs/desk/*.png."""
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedRedis(Path(folder) / "redis") as embedded,
        Redis.from_url(embedded.url) as redis,
        desk_at(embedded.url, Path(folder), RULES) as service,
    ):
        tell_story(redis, service, product="Café Crème pack")
        with chromium() as browser:
            for shot in SHOTS:
                with window(browser, service, size=shot.size, scheme=shot.scheme) as opened:
                    opened.log_in()
                    opened.open(shot.page)
                    opened.page.screenshot(path=FOLDER / f"{shot.name}.png")


if __name__ == "__main__":
    main()

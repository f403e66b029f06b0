"""``credits demo``: runs the service from webhook to credit, and checks the result."""

import json as json_module
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
from msgspec import Struct
from rich.console import Console
from rich.text import Text

from app.cli.options import json_option
from app.cli.output import console, print_json
from app.cli.setup_shapes import DemoJson, SceneJson
from app.demo.harness import CUSTOMER, Harness, start_harness
from config.samples import make_sample
from workers.core.delivery import Status

_EXPECTED = {"api_usage": 1100, "image_generations": 20}


class Scene(Struct, frozen=True, kw_only=True):
    """One webhook of the demo: what was sent, what the receiver answered, and the outcome."""

    title: str
    expected: str
    answer: str
    outcome: str
    milliseconds: int | None = None

    @property
    def right(self) -> bool:
        """Return whether answer and outcome are as expected."""
        return f"{self.answer} {self.outcome}".strip().startswith(self.expected)


@click.command("demo")
@json_option
def demo(json: bool) -> None:
    """Run the service from webhook to credit, with a stand-in for Polar.

    Everything else is real: an embedded Redis, the receiver and a worker run as processes.

    Example: credits demo
    """
    out = console()
    if not json:
        _print_opening(out)
    # A short path: the path of a Unix socket has at most about a hundred bytes.
    with tempfile.TemporaryDirectory(prefix="credits-") as folder:
        waiting = nullcontext() if json else out.status("working ...")
        with waiting, start_harness(Path(folder)) as harness:
            scenes = []
            for scene in play(harness):
                scenes.append(scene)
                if not json:
                    _print_scene(out, len(scenes), scene)
            balances, events = harness.balances(), _oldest_first(harness)
    right = balances == _EXPECTED and all(scene.right for scene in scenes)
    if json:
        rows = [_scene_json(scene) for scene in scenes]
        result: DemoJson = {
            "right": right,
            "scenes": rows,
            "events": events,
            "balances": balances,
            "expected": _EXPECTED,
        }
        print_json(result)
    else:
        _print_events(out, events)
        _print_ending(out, balances, right=right)
    raise click.exceptions.Exit(0 if right else 1)


def play(harness: Harness) -> Iterator[Scene]:
    """Send the webhooks one after the other; yield a scene for each."""
    first, purchase = str(uuid4()), make_sample("purchase", customer=CUSTOMER)
    renewal = make_sample("subscription_cycle", customer=CUSTOMER)
    yield _send(harness, "A customer buys a credit pack", first, purchase, "202 accepted granted")
    yield _send(harness, "Polar sends the same webhook again", first, purchase, "202 duplicate")
    again, renewed = str(uuid4()), str(uuid4())
    yield _send(harness, "The same order, under a new webhook id", again, purchase, "202 accepted skipped")
    yield _send(harness, "The monthly plan renews", renewed, renewal, "202 accepted granted")
    yield _send_forged(harness, make_sample("purchase", customer=CUSTOMER))
    yield _ask(harness, json_module.loads(purchase)["data"]["id"])


def _send(harness: Harness, title: str, webhook_id: str, body: bytes, expected: str) -> Scene:
    before = harness.balances()
    response = harness.post(webhook_id, body)
    content = response.json()
    answer = f"{response.status_code} {content.get('disposition') or content['error']}"
    if answer != "202 accepted":
        return Scene(title=title, expected=expected, answer=answer, outcome=content.get("detail", ""))
    done = harness.await_settled(webhook_id)
    gained = {meter: round(now - before[meter]) for meter, now in harness.balances().items()}
    gains = ", ".join(f"+{units} {meter}" for meter, units in gained.items() if units)
    result = gains if done.status is Status.GRANTED else done.reason.split(":")[0]
    took = round((done.settled_at - done.received_at).total_seconds() * 1000) if done.settled_at else None
    return Scene(
        title=title,
        expected=expected,
        answer=answer,
        outcome=f"{done.status.value}: {result}",
        milliseconds=took,
    )


def _scene_json(scene: Scene) -> SceneJson:
    return {
        "title": scene.title,
        "expected": scene.expected,
        "answer": scene.answer,
        "outcome": scene.outcome,
        "milliseconds": scene.milliseconds,
        "right": scene.right,
    }


def _send_forged(harness: Harness, body: bytes) -> Scene:
    response = harness.post(str(uuid4()), body, secret="whsec_somebody-else")  # noqa: S106 - a forger's
    answer = f"{response.status_code} {response.json()['error']}"
    return Scene(
        title="A stranger forges a purchase",
        expected="403 invalid_signature",
        answer=answer,
        outcome="nothing stored",
    )


def _ask(harness: Harness, order_id: str) -> Scene:
    """Ask about an order as a success page does; the storefront must have been told the same."""
    response = harness.ask_about(order_id)
    order = response.json()
    given = {f"credits:order:{order_id}:{meter}": units for meter, units in order["credits"].items()}
    events = harness.await_told()
    told = {key: events[key]["data"]["credits"] for key in given if key in events}
    return Scene(
        title="The shop asks what became of it",
        expected="200 granted told the same",
        answer=f"{response.status_code} {order['status']}",
        outcome=f"told {'the same' if told == given else 'something else'} by credit events",
    )


def _oldest_first(harness: Harness) -> list[Any]:
    return sorted(harness.storefront.events.values(), key=lambda one: (one["timestamp"], one["data"]["key"]))


def _print_events(out: Console, events: list[Any]) -> None:
    out.print("\nWhat the shop was told by credit events, each with a valid signature:")
    for one in events:
        data = one["data"]
        out.print(Text(f"  {data['meter']:<20}{data['credits']:>8,}   {one['type']}"))


def _print_opening(out: Console) -> None:
    out.print(
        Text("credit-granter turns paid Polar orders into usage credits, each order once.", style="bold")
    )
    out.print("The demo sends signed webhooks to the real service. Only Polar and the shop are stand-ins.\n")


def _print_scene(out: Console, number: int, scene: Scene) -> None:
    mark = Text("ok ", style="green") if scene.right else Text("BAD", style="bold red")
    took = f"  in {scene.milliseconds} ms" if scene.milliseconds is not None else ""
    line = Text.assemble(mark, f" {number}  {scene.title:<39}", (f"{scene.answer:<22}", "cyan"))
    out.print(line.append(f"{scene.outcome}").append(took, style="bright_black"))


def _print_ending(out: Console, balances: dict[str, float], *, right: bool) -> None:
    out.print("\nThe customer's balance at Polar:")
    for meter, expected in _EXPECTED.items():
        good = balances[meter] == expected
        verdict = (
            Text("correct", style="green")
            if good
            else Text(f"WRONG, expected {expected:,}", style="bold red")
        )
        out.print(Text(f"  {meter:<20}{balances[meter]:>8,.0f}   ").append_text(verdict))
    if right:
        out.print(Text("\nEvery order was credited exactly once.", style="bold green"))
        command = "credits" if shutil.which("credits") else sys.argv[0]
        out.print(
            f"Next: {command} init writes settings and rules for your shop; {command} up runs the service"
        )
    else:
        out.print(Text("\nSomething is wrong: see the lines marked BAD or WRONG.", style="bold red"))

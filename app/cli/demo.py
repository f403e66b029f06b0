"""``credits demo``: the main job told as a story, and checked."""

import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict
from uuid import uuid4

import typer
from rich.console import Console
from rich.text import Text

from app.cli.output import console, print_json
from app.cli.root import Json, root
from app.demo.stage import CUSTOMER, Stage, stage
from config.samples import make_sample
from workers.core.delivery import Status

_EXPECTED = {"api_usage": 1100, "image_generations": 20}


class SceneJson(TypedDict):
    """One scene of the demo."""

    title: str
    expected: str
    answer: str
    outcome: str
    milliseconds: Annotated[int | None, "from the webhook to the credit"]
    right: bool


class DemoJson(TypedDict):
    """Whether the demo went as it should."""

    right: bool
    scenes: list[SceneJson]
    balances: dict[str, float]
    expected: dict[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What was sent, what the receiver answered, what it came to."""

    title: str
    expected: str
    answer: str
    outcome: str
    milliseconds: int | None = None

    @property
    def right(self) -> bool:
        """Say whether it went as it should."""
        return f"{self.answer} {self.outcome}".strip().startswith(self.expected)


@root.command()
def demo(json: Json = False) -> None:
    """Run the main job with a stand-in for Polar.

    All else is real: embedded Redis, receiver and worker, each a process of its own.

    Example: credits demo
    """
    out = console()
    if not json:
        _print_opening(out)
    # A short path: a Unix socket's may have no more than some hundred bytes.
    with tempfile.TemporaryDirectory(prefix="credits-") as folder:
        waiting = nullcontext() if json else out.status("working ...")
        with waiting, stage(Path(folder)) as running:
            scenes = []
            for scene in play(running):
                scenes.append(scene)
                if not json:
                    _print_scene(out, len(scenes), scene)
            balances = running.balances()
    right = balances == _EXPECTED and all(scene.right for scene in scenes)
    if json:
        rows = [_scene_json(scene) for scene in scenes]
        told: DemoJson = {"right": right, "scenes": rows, "balances": balances, "expected": _EXPECTED}
        print_json(told)
    else:
        _print_ending(out, balances, right=right)
    raise typer.Exit(0 if right else 1)


def play(running: Stage) -> Iterator[Scene]:
    """Send the webhooks, one after the other."""
    first, purchase = str(uuid4()), make_sample("purchase", customer=CUSTOMER)
    renewal = make_sample("subscription_cycle", customer=CUSTOMER)
    yield _scene(running, "A customer buys a credit pack", first, purchase, "202 accepted granted")
    yield _scene(running, "Polar delivers that webhook again", first, purchase, "202 duplicate")
    yield _scene(
        running, "... and once more, under another id", str(uuid4()), purchase, "202 accepted skipped"
    )
    yield _scene(running, "A month later the plan renews", str(uuid4()), renewal, "202 accepted granted")
    yield _forged(running, make_sample("purchase", customer=CUSTOMER))


def _scene(running: Stage, title: str, webhook_id: str, body: bytes, expected: str) -> Scene:
    before = running.balances()
    response = running.post(webhook_id, body)
    told = response.json()
    answer = f"{response.status_code} {told.get('disposition') or told['error']}"
    if answer != "202 accepted":
        return Scene(title=title, expected=expected, answer=answer, outcome=told.get("detail", ""))
    done = running.settled(webhook_id)
    gained = {meter: round(now - before[meter]) for meter, now in running.balances().items()}
    gains = ", ".join(f"+{units} {meter}" for meter, units in gained.items() if units)
    words = gains if done.status is Status.GRANTED else done.reason.split(":")[0]
    took = round((done.settled_at - done.received_at).total_seconds() * 1000) if done.settled_at else None
    return Scene(
        title=title,
        expected=expected,
        answer=answer,
        outcome=f"{done.status.value}: {words}",
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


def _forged(running: Stage, body: bytes) -> Scene:
    response = running.post(str(uuid4()), body, secret="whsec_somebody-else")  # noqa: S106 - a forger's
    answer = f"{response.status_code} {response.json()['error']}"
    return Scene(
        title="A stranger forges a purchase",
        expected="403 invalid_signature",
        answer=answer,
        outcome="nothing stored",
    )


def _print_opening(out: Console) -> None:
    out.print(Text("credit-granter: a signed order.paid becomes credit in Polar, once.", style="bold"))
    out.print("Real processes, real HTTP; only Polar is a stand-in.\n")


def _print_scene(out: Console, number: int, scene: Scene) -> None:
    mark = Text("ok ", style="green") if scene.right else Text("BAD", style="bold red")
    took = f"  in {scene.milliseconds} ms" if scene.milliseconds is not None else ""
    line = Text.assemble(mark, f" {number}  {scene.title:<36}", (f"{scene.answer:<22}", "cyan"))
    out.print(line.append(f"{scene.outcome}").append(took, style="bright_black"))


def _print_ending(out: Console, balances: dict[str, float], *, right: bool) -> None:
    out.print("\nThe customer's balance at Polar:")
    for meter, expected in _EXPECTED.items():
        good = balances[meter] == expected
        verdict = (
            Text("as it should be", style="green") if good else Text(f"NOT {expected}", style="bold red")
        )
        out.print(Text(f"  {meter:<20}{balances[meter]:>8,.0f}   ").append_text(verdict))
    if right:
        out.print(Text("\nEvery order was credited, none twice.", style="bold green"))
        out.print("Next: write .env and your rules, and run .venv/bin/credits up (README.md).")
    else:
        out.print(Text("\nSomething is wrong: see the lines marked BAD or NOT.", style="bold red"))

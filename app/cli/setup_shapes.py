"""The types of what ``init`` and ``demo`` print with ``--json``."""

from typing import Annotated, Any, Literal, TypedDict

from app.cli.shapes import FindingJson


class InitEnvJson(TypedDict):
    """What was written to `.env`; values are never shown."""

    file: str
    added: Annotated[list[str], "names that had no value"]
    changed: Annotated[list[str], "names that had another value"]


class InitRulesJson(TypedDict):
    """The rules file."""

    file: str
    text: Annotated[str | None, "what was written; null if the file existed and was kept"]
    rules: int


class InitEndpointJson(TypedDict):
    """The webhook endpoint at Polar."""

    url: str
    status: Literal["created", "updated", "unchanged"]
    events: list[str]


class InitJson(TypedDict):
    """What was written and created, or with `--dry-run` would be."""

    dry_run: bool
    env: InitEnvJson
    rules: InitRulesJson
    meters: Annotated[list[str], "meters that were created at Polar"]
    endpoint: Annotated[InitEndpointJson | None, "null without a public URL"]
    findings: Annotated[list[FindingJson], "what `credits check` found; empty with `--dry-run`"]


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
    events: Annotated[list[Any], "the credit events that the storefront was told, oldest first"]
    balances: dict[str, float]
    expected: dict[str, int]

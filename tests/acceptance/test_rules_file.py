"""Writing a rules file: ``credits rules watch``, and ``credits check`` in a build."""

import json
import signal

from tests.support.cli_session import Desk
from tests.support.processes import TEN, eventually

MISSPELT = TEN.replace("api_usage: 10", "api_usge: 10")


def test_each_save_is_checked_and_the_line_is_shown_with_a_caret(desk: Desk) -> None:
    with desk.credits.running("rules", "watch") as command:
        eventually(lambda: "rules.yaml: 1 rule, 1 meter\n" in command.said)
        desk.rules(MISSPELT)
        eventually(lambda: "unusable 1 error\n" in command.said)
        error, line, caret = command.said.splitlines()[1:4]
        assert "unknown meter 'api_usge'; did you mean 'api_usage'?" in error
        assert line[caret.index("^") :].startswith("api_usge: 10")
        (desk.credits.folder / "rules.yaml").unlink()
        eventually(lambda: "rules.yaml: file not found" in command.said)
        desk.rules(TEN)
        eventually(lambda: command.said.count("rules.yaml: 1 rule, 1 meter\n") == 2)
        command.process.send_signal(signal.SIGINT)
        assert command.process.wait(10) == 0
        assert "Traceback" not in command.said


def test_for_machines_each_check_is_one_line(desk: Desk) -> None:
    desk.rules(MISSPELT)
    with desk.credits.running("rules", "watch", "--json") as command:
        eventually(lambda: command.said.endswith("\n"))
        found = json.loads(command.said)
    assert (found["usable"], found["problems"][0]["line"]) == (False, 4)


def test_in_a_build_each_problem_is_an_annotation_of_its_line(desk: Desk) -> None:
    desk.rules(MISSPELT)
    done = desk.credits.run("check", "--offline", "--format", "github")
    (annotation,) = [line for line in done.stdout.splitlines() if line.startswith("::error")]
    assert done.returncode == 1
    assert annotation.startswith("::error file=rules.yaml,line=4,col=")
    assert "unknown meter 'api_usge'" in annotation
    as_json = desk.credits.run("check", "--offline", "--format", "json")
    assert json.loads(as_json.stdout) == json.loads(desk.credits.run("check", "--offline", "--json").stdout)
    assert desk.credits.run("check", "--json", "--format", "github").returncode == 2

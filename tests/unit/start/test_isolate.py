"""What the command takes out of its environment before it imports anything else."""

import os
import sys

import pytest

import credit_granter


@pytest.fixture(autouse=True)
def own_search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_pythonpath_is_forgotten_here_and_for_the_processes_that_we_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"/elsewhere{os.pathsep}relative")
    sys.path[1:1] = ["/elsewhere", os.path.abspath("relative")]
    before = list(sys.path)
    credit_granter.isolate()
    assert "PYTHONPATH" not in os.environ
    assert {"/elsewhere", os.path.abspath("relative")}.isdisjoint(sys.path)
    assert [one for one in before if one in sys.path] == sys.path  # in the same order


def test_the_standard_library_and_site_packages_stay_even_if_pythonpath_names_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = os.path.dirname(os.__file__)
    packages = [one for one in sys.path if one.endswith("site-packages")]
    assert packages
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([library, *packages]))
    credit_granter.isolate()
    assert {library, *packages} <= set(sys.path)


def test_our_own_folder_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    home = os.path.dirname(credit_granter.__file__)
    monkeypatch.setenv("PYTHONPATH", f"/elsewhere{os.pathsep}{home}")
    credit_granter.isolate()
    assert os.environ["PYTHONPATH"] == home
    assert home in sys.path


def test_the_key_prefix_of_somebody_elses_rq_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """RQ 3 would look for our jobs under that prefix; our scripts write them under rq:."""
    monkeypatch.setenv("RQ_KEY_PREFIX", "shop")
    credit_granter.isolate()
    assert "RQ_KEY_PREFIX" not in os.environ

"""The contract check passes a healthy environment and names each defect of a broken one, and only that."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import threading

import broken
import gymnasium
import numpy as np
import pytest

from arena.core import registry
from arena.core.checks import CHECKS, EnvContract, check
from arena.core.errors import UnknownName


@pytest.fixture(scope="module", autouse=True)
def _registered():
    """The broken environments are known to this module's tests only."""
    names = broken.register_all()
    yield
    for name in names:
        registry._environments.pop(name)
        gymnasium.registry.pop(name)


def statuses(report):
    return {result.name: result.status for result in report.results}


@pytest.mark.parametrize("name", ["Guard", "AsyncGuard", "Talkative"])
def test_a_healthy_environment_passes(name):
    report = check(f"broken/{name}-v0", deep=True)
    assert report.passed, str(report)
    assert set(statuses(report)) == set(CHECKS)


def test_nothing_is_skipped_where_every_ability_is_there(require):
    require("netns")
    assert set(statuses(check("broken/Guard-v0")).values()) == {"passed"}


@pytest.mark.parametrize("defect", broken.DEFECTS, ids=lambda defect: defect.env.__name__)
def test_each_defect_is_named(defect):
    report = check(defect.id)
    failures = {failure.name: failure.detail for failure in report.failures}
    assert set(failures) == set(defect.fails), str(report)
    assert all(part in failures[defect.fails[0]] for part in ("expected: ", "found: ", "to do: "))


@pytest.mark.parametrize(
    ("name", "fails"),
    [
        ("OverlappingTasks", "splits_are_disjoint"),
        ("UnstableTasks", "tasks_are_reproducible"),
        ("Unportable", "spec_is_portable"),
    ],
)
def test_defects_of_the_registration_are_named(name, fails):
    assert [failure.name for failure in check(f"broken/{name}-v0").failures] == [fails]


def test_an_environment_that_needs_the_network_is_named(require):
    """A server that answers here, and is out of reach in a network namespace, stands for the network."""
    require("netns")
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept, args=(server,), daemon=True).start()
        report = check("broken/AsksAServer-v0", params={"port": server.getsockname()[1]})
        assert [failure.name for failure in report.failures] == ["works_offline"], str(report)
    assert "ConnectionRefusedError" in report.failures[0].detail


def _accept(server):
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


def test_declared_volatile_text_is_not_compared_and_its_reason_is_shown():
    report = check("broken/DeclaredClock-v0")
    assert report.passed, str(report)
    assert "the date is shown" in str(report)


def test_an_environment_declared_unreplayable_is_not_replayed():
    report = check("broken/DeclaredNone-v0")
    assert statuses(report)["same_in_another_process"] == "skipped"
    assert "none: sets are shown" in str(report)


def test_what_does_not_start_is_not_checked_further():
    report = check("broken/NeedsDownload-v0")
    assert statuses(report).pop("starts") == "failed"
    assert set(list(statuses(report).values())[1:]) == {"skipped"}
    assert "Resource words not found" in str(report)


def test_the_check_itself_leaves_the_process_as_it_was():
    before, before_numpy = random.getstate(), np.random.get_state()[1].tolist()
    check("broken/Guard-v0")
    assert (random.getstate(), np.random.get_state()[1].tolist()) == (before, before_numpy)
    assert sys.gettrace() is None or "coverage" in sys.modules


def test_progress_hears_of_every_check_in_order():
    heard = []
    report = check("broken/Guard-v0", seeds=(3, 2**31 + 4), progress=heard.append)
    assert tuple(heard) == report.results
    assert [result.name for result in heard] == list(CHECKS)


def test_a_gymnasium_spec_is_checked_with_its_parameters(require):
    report = check(gymnasium.spec("broken/AsyncGuard-v0"))
    assert report.passed, str(report)
    spec = gymnasium.spec("broken/AsksAServer-v0")
    spec.kwargs = {"port": 1}
    assert "ConnectionRefusedError" in check(spec).failures[0].detail


def test_a_report_can_be_read_and_parsed():
    report = check("broken/RewardsNotANumber-v0")
    written = json.loads(json.dumps(report.to_json()))
    assert (written["id"], written["passed"], len(written["results"])) == (report.id, False, len(CHECKS))
    assert "FAIL rewards_are_finite" in report.text()
    assert "1 failed" in report.text().splitlines()[-1]


def test_an_unknown_id_is_no_report():
    with pytest.raises(UnknownName, match="broken/Guard-v0"):
        check("broken/Gard-v0")


def test_every_check_says_what_it_promises():
    assert all(function.__doc__ for function in CHECKS.values())


def test_pytest_is_not_needed_to_check():
    code = "import sys, arena.core.checks; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


class TestGuard(EnvContract):
    """An author's own tests of a healthy environment."""

    env_id = "broken/Guard-v0"


class BrokenContract(EnvContract):
    env_id = "broken/RewardsNotANumber-v0"


def test_an_inherited_test_fails_with_the_check_s_words():
    with pytest.raises(pytest.fail.Exception, match="a reward is a finite float"):
        BrokenContract().test_rewards_are_finite()


def test_an_inherited_test_skips_what_does_not_apply():
    with pytest.raises(pytest.skip.Exception, match="no snapshots"):
        BrokenContract().test_snapshots_restore()

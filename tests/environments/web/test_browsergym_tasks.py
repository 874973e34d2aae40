"""Tasks written for BrowserGym run as they are."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright")

import traps  # noqa: F401  (registers its environments)

import arena


@pytest.mark.parametrize("task", ["Borrowed", "Later"])
def test_a_task_is_set_up_and_judged_by_its_own_code(require, task):
    require("chromium")
    env = arena.make("trap/Borrowed-v0", task=f"traps:{task}", site="traps:parts_site")
    observation, info = env.reset(seed=1)
    assert info["brief"]["instructions"].startswith("Choose large and say done.")
    ref = next(line.split("]")[0].strip(" [") for line in observation.splitlines() if "combobox" in line)
    _, reward, terminated, *_ = env.step(f'select_option("{ref}", "large")')
    assert (reward, terminated) == (0.0, False)
    _, reward, terminated, _, info = env.step('send_msg_to_user("done")')
    assert (reward, terminated, info["success"]) == (1.0, True, True)
    env.reset(seed=2)
    _, reward, terminated, _, info = env.step('send_msg_to_user("done")')
    assert (reward, terminated, info["success"]) == (0.0, True, False)
    env.close()

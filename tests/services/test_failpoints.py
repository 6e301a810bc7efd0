"""Failpoints end a process of a test installation, and no other."""

import subprocess
import sys

import pytest

from services.messaging import failpoints

TWICE = "from services.messaging.failpoints import failpoint as f; f('a.b'); f('a.b'); print('on')"


def status(points: str, installation: str) -> int:
    environ = {"LIANDIAO_FAILPOINTS": points, "LIANDIAO_TEST_INSTALLATION": installation}
    return subprocess.run([sys.executable, "-c", TWICE], env=environ, check=False).returncode


def test_the_second_hit_ends_a_process_as_a_kill_does() -> None:
    assert status("a.b:2", "yes") == 137
    assert status("a.b:3", "yes") == 0


def test_a_place_may_raise_instead() -> None:
    assert status("a.b:1:raise", "yes") == 1


def test_nothing_is_armed_outside_of_a_test_installation() -> None:
    assert status("a.b:1", "no") == 0


def test_an_unknown_way_to_fail_is_refused() -> None:
    with pytest.raises(ValueError, match="explode"):
        failpoints.arm_from_environment("a.b:1:explode")

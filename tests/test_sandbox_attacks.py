import builtins
import dis
import json
import os
import subprocess

import pytest
import sandbox_attacks
import sandbox_escapes
from sandbox_attacks import BOMBS, CHEATS, assert_stopped
from sandbox_forgeries import FUNCTIONS
from sandbox_host import AS_NOBODY, TESTS, interpreter_for_everybody, targets

from opdbench.sandbox.runner import Sandbox


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(num_servers=1) as shared:
        if not set(shared.layers) >= sandbox_attacks.NEEDS:
            pytest.skip(f"attacks are run where all layers hold, not under {shared.layers}")
        yield shared


@pytest.fixture(scope="module")
def host():
    with targets() as aims:
        yield aims


@pytest.mark.parametrize("name", CHEATS)
def test_cheats_are_wrong(sandbox, name):
    assert_stopped(sandbox, *CHEATS[name])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_forgeries_are_wrong(sandbox, name):
    assert_stopped(sandbox, *FUNCTIONS[name])


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_harm_nobody(sandbox, name):
    assert_stopped(sandbox, *BOMBS[name])


@pytest.mark.parametrize("name", sandbox_escapes.ATTEMPTS)
def test_nothing_outside_is_reached(sandbox, host, name):
    assert_stopped(sandbox, sandbox_escapes.programs(host)[name], "tests")


@pytest.mark.parametrize("name", sandbox_escapes.ATTEMPTS)
def test_attempts_that_find_nothing_are_real(host, name):
    """What they call exists, and one that found something would be seen."""
    solution = {}
    exec(sandbox_escapes.programs(host)[name], solution)
    called = {step.argval for step in dis.get_instructions(solution["escaped"]) if step.opname == "LOAD_GLOBAL"}
    assert called <= {*solution, *vars(builtins)}
    for found, answer in ((True, 6), (False, "nothing")):
        solution["escaped"] = lambda found=found: found
        assert solution["f"](3) == answer


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_is_aimed_at_can_be_reached_without_a_sandbox(host):
    reached = ("read a gold file", "TCP", "UDP", "a unix socket", "an abstract unix socket", "signals to the parent")
    for name in reached:
        namespace = {}
        exec(sandbox_escapes.programs(host)[name], namespace)
        assert namespace["f"](3) == 6, name


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="the other tests ran without privileges already")
@pytest.mark.parametrize("tier", ["namespaces", "bubblewrap"])
def test_all_attacks_again_without_privileges(tier):
    interpreter = interpreter_for_everybody()
    if interpreter is None:
        pytest.skip("no interpreter of 3.11 or later that another user may start")
    command = [interpreter, "-B", str(TESTS / "sandbox_attacks.py"), tier]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, **AS_NOBODY)
    if "PermissionError" in done.stderr or "GradingError" in done.stderr:
        pytest.skip(done.stderr)
    found = json.loads(done.stdout)
    assert (found["user"], found["layers"][0], found["failed"]) == (AS_NOBODY["user"], tier, {})
    assert found["num_attacks"] >= len(CHEATS) + len(FUNCTIONS) + len(BOMBS) + len(sandbox_escapes.ATTEMPTS) - 1

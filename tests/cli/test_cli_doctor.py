from __future__ import annotations

import json
import os
from typing import Any

import pytest

from testbed.site import Site


def checked(site: Site, *options: str, **more: Any) -> tuple[int, dict[str, dict[str, str]]]:
    done = site.run("doctor", "--json", *options, **more)
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert answer["ok"] == (done.returncode == 0)
    return done.returncode, {check["name"]: check for check in answer["checks"]}


def test_a_fresh_machine_is_fine_and_told_how_to_get_kimi(site: Site) -> None:
    code, checks = checked(site)
    assert code == 0
    assert {check["outcome"] for check in checks.values()} == {"ok"}
    assert "nanokimi init" in checks["toml"]["cause"]
    assert {"python", "toml", "data folder", "disk", "process", "transport console", "backend echo"} <= checks.keys()


@pytest.fixture
def again(site: Site) -> Site:
    """A site whose commands aren't measured: the doctor looks at each plugin in a process of its own."""
    site.measured = False
    return site


@pytest.mark.usefixtures("again")
def test_a_toml_that_says_something_unknown_fails_with_the_nearest_key(site: Site) -> None:
    site.toml("[limits]\nmax_turn = 3\n")
    code, checks = checked(site)
    assert code == 1
    assert checks["toml"]["cause"] == 'nanokimi.toml: [limits] unknown key "max_turn"; did you mean "max_turns"?'


def test_a_plugins_own_checks_are_shown_and_only_a_failed_one_fails(site: Site) -> None:
    site.ours("desk")
    site.toml('transports = ["desk"]\n[plugins.desk]\nout = "out"\nchecks = ["ok", "warning"]\n')
    code, checks = checked(site)
    assert code == 0
    assert checks["desk: lamp"] == {"name": "desk: lamp", "outcome": "warning", "cause": "dim", "remedy": "clean it"}
    site.toml('transports = ["desk"]\n[plugins.desk]\nout = "out"\nchecks = ["ok", "failed"]\n')
    done = site.run("doctor")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    (at,) = [at for at, line in enumerate(lines) if line.startswith("FAILED")]
    assert "broken off" in lines[at]
    assert lines[at + 1].strip() == "-> glue it: glue desk"


@pytest.mark.usefixtures("again")
@pytest.mark.parametrize(
    ("checks", "cause"),
    [("hangs", "it took longer than 5 s"), ("nonsense", "'nonsense' is no Check with an outcome of")],
)
def test_a_check_that_hangs_or_gives_something_else_is_the_plugins_fault(site: Site, checks: str, cause: str) -> None:
    site.ours("desk")
    site.toml(f'transports = ["desk"]\n[plugins.desk]\nout = "out"\nchecks = ["{checks}"]\n')
    code, lines = checked(site, "--timeout", "5")
    assert code == 1
    assert any(cause in line["cause"] for line in lines.values())


@pytest.mark.usefixtures("again")
def test_a_plugin_that_the_toml_needs_fails_when_it_is_broken_and_others_only_warn(site: Site) -> None:
    site.write("torn", "raise RuntimeError('out of paper')")
    code, checks = checked(site)
    assert code == 0
    assert checks["plugin torn"]["outcome"] == "warning"
    assert "out of paper" in checks["plugin torn"]["cause"]
    site.toml('auth = "torn"\n')
    code, checks = checked(site)
    assert code == 1
    assert checks["auth torn"]["outcome"] == "failed"


@pytest.mark.usefixtures("again")
def test_a_plugin_that_ends_the_process_does_not_end_the_doctor(site: Site) -> None:
    site.write("dying", "import os; os._exit(0)")
    site.toml('auth = "dying"\n')
    code, checks = checked(site)
    assert code == 1
    assert checks["auth dying"]["cause"] == "it ended the process (exit code 0)"


@pytest.mark.usefixtures("again")
def test_a_wrong_table_fails_with_the_table_and_the_key(site: Site) -> None:
    site.ours("desk")
    site.toml('transports = ["desk"]\n[plugins.desk]\nout = "out"\nsays = ["x"]\n')
    code, checks = checked(site)
    assert code == 1
    assert 'unknown key "says"; did you mean "say"?' in checks["transport desk"]["cause"]


@pytest.mark.usefixtures("again")
def test_a_wrong_table_that_the_toml_does_not_use_is_a_warning(site: Site) -> None:
    site.ours("desk")
    site.toml('[plugins.desk]\nout = "out"\n[plugins.spare]\nuse = "desk"\nsays = ["x"]\n')
    code, checks = checked(site)
    assert code == 0
    assert checks["table spare"]["outcome"] == "warning"
    assert '[plugins.spare] unknown key "says"; did you mean "say"?' in checks["table spare"]["cause"]
    assert "table desk" not in checks


@pytest.mark.usefixtures("again")
def test_the_room_for_agents_is_said_and_a_cap_above_it_is_a_warning(site: Site) -> None:
    site.ours("lab")
    site.toml('backend = "lab"\n')
    _, checks = checked(site)
    assert checks["lab: room"]["cause"] == "3 agents fit into this machine's memory at once (max_warm = auto)"
    site.toml('backend = "lab"\n[limits]\nmax_warm = 9\n')
    code, checks = checked(site)
    assert code == 0
    assert checks["lab: room"]["outcome"] == "warning"
    assert checks["lab: room"]["remedy"] == 'set max_warm = 3 or "auto" in [limits]'


@pytest.mark.usefixtures("again")
def test_the_process_that_runs_the_set_up_is_named(site: Site) -> None:
    site.ours("desk")
    site.toml('transports = ["desk"]\n[plugins.desk]\nout = "out"\n')
    with site.start("run") as service:
        assert service.stderr is not None
        while "desk is connected" not in service.stderr.readline():
            assert service.poll() is None
        _, checks = checked(site)
        service.terminate()
        service.communicate(timeout=60)
    assert checks["process"]["cause"] == f"process {service.pid} runs this set-up"


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
@pytest.mark.usefixtures("again")
def test_a_data_folder_that_cannot_be_written_to_fails_with_the_command(site: Site) -> None:
    site.data.mkdir(mode=0o500)
    code, checks = checked(site)
    assert code == 1
    assert "chown" in checks["data folder"]["remedy"]


@pytest.mark.usefixtures("again")
def test_a_data_folder_that_is_a_file_fails(site: Site) -> None:
    site.toml("")
    site.data.write_text("")
    code, checks = checked(site)
    assert code == 1
    assert checks["data folder"]["outcome"] == "failed"
    assert [name for name, check in checks.items() if check["outcome"] != "ok"] == ["data folder"]

from __future__ import annotations

import json
from typing import Any

import pytest

from testbed.site import TESTS, Site

HEAD = "from nanokimi_core import Spec, hookimpl\n"
BROKEN = {
    "at_import": ("import nothing_like_this", "ModuleNotFoundError: No module named 'nothing_like_this'"),
    "exits": ("import sys; sys.exit(0)", "SystemExit: 0"),
    "dies": ("import os; os._exit(7)", "it ended the process (exit code 7)"),
    "is_killed": ("import os; os.kill(os.getpid(), 9)", "it ended the process (signal 9)"),
    "misspelt": (HEAD + "@hookimpl\ndef nanokimi_transprots(): return []", "has a hook that can't be used"),
    "with_arguments": (HEAD + "@hookimpl\ndef nanokimi_transports(x): return []", "has a hook that can't be used"),
    "is_async": (HEAD + "@hookimpl\nasync def nanokimi_transports(): return []", "would never run"),
    "wrong_return": (HEAD + "@hookimpl\ndef nanokimi_auths(): return {'a': 1}", "returned dict, not a list of Spec"),
    "wrong_config": (
        HEAD + "@hookimpl\ndef nanokimi_auths(): return [Spec('x', object, config=dict)]",
        "is not a pydantic model",
    ),
    "hook_raises": (HEAD + "@hookimpl\ndef nanokimi_auths(): raise OSError('no disk')", "OSError: no disk"),
}
FINE = HEAD + "@hookimpl\ndef nanokimi_auths(): return [Spec('{name}', object)]\n"


def listed(site: Site, *options: str) -> dict[str, Any]:
    done = site.run("plugins", "--json", *options)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return {plugin["name"]: plugin for plugin in json.loads(done.stdout)["plugins"]}


def test_each_broken_plugin_is_listed_with_its_cause_and_the_others_go_on(site: Site) -> None:
    for name, (source, _) in BROKEN.items():
        site.write(name, source)
    site.write("fine", FINE.format(name="fine"))
    plugins = listed(site)
    for name, (_, cause) in BROKEN.items():
        assert plugins[name]["state"] == "broken"
        assert cause in plugins[name]["cause"], name
        assert plugins[name]["remedy"]
    assert plugins["fine"]["state"] == "not enabled"
    assert plugins["fine"]["kinds"] == ["auth"]
    assert plugins["console"]["state"] == plugins["echo"]["state"] == "enabled"


def test_the_list_for_people_fits_a_line_for_each_plugin_and_says_each_cause_below(site: Site) -> None:
    site.write("torn", BROKEN["at_import"][0])
    lines = site.run("plugins").stdout.splitlines()
    assert lines[0].split() == ["name", "kind", "distribution", "version", "state"]
    (row,) = [line for line in lines if line.startswith("torn ")]
    assert row.split() == ["torn", "?", "nanokimi-torn", "1.0", "broken"]
    assert any(line.startswith('torn: plugin "torn" (nanokimi-torn 1.0) failed to load') for line in lines)


def test_a_plugin_that_takes_too_long_is_broken_and_holds_up_nobody(site: Site) -> None:
    site.write("sleepy", "import time; time.sleep(60)")
    site.write("clinging", "import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(60)")
    plugins = listed(site, "--timeout", "5")
    for name in ("sleepy", "clinging"):
        assert plugins[name]["cause"] == "it took longer than 5 s"
    assert plugins["echo"]["state"] == "enabled"


def test_a_plugin_that_leaves_a_thread_or_prints_at_import_is_looked_at_all_the_same(site: Site) -> None:
    noise = "import threading, time\nprint('{}')\nthreading.Thread(target=time.sleep, args=(60,)).start()\n"
    site.write("noisy", noise + FINE.format(name="noisy"))
    assert listed(site)["noisy"]["state"] == "not enabled"


def test_one_name_from_two_distributions_is_refused_by_naming_both(site: Site) -> None:
    site.write("twin", FINE.format(name="twin"), distribution="nanokimi-twin-a")
    site.write("twin", FINE.format(name="twin"), distribution="nanokimi-twin-b", version="2.0")
    done = site.run("plugins")
    assert done.stdout.count("it is provided by nanokimi-twin-a 1.0 and nanokimi-twin-b 2.0") == 2
    site.toml('auth = "twin"\n')
    needed = site.run("chat", "--once", "hello")
    assert needed.returncode == 3
    assert 'plugin "twin" is provided by nanokimi-twin-a 1.0 and nanokimi-twin-b 2.0' in needed.stderr


def test_two_plugins_that_provide_the_same_thing_are_told_of_each_other(site: Site) -> None:
    site.write("left", FINE.format(name="bank"))
    site.write("right", FINE.format(name="bank"))
    plugins = listed(site)
    assert 'auth "bank" is provided by the plugins left and right' in plugins["left"]["cause"]
    assert plugins["left"]["cause"] == plugins["right"]["cause"]


def test_instances_are_listed_with_the_plugin_that_they_use(site: Site) -> None:
    site.ours("vault")
    site.toml('auth = ["vault", "work"]\n[plugins.work]\nuse = "vault"\n')
    assert listed(site)["vault"]["instances"] == ["vault", "work"]
    assert "enabled as vault, work" in site.run("plugins").stdout


def test_what_the_toml_wants_and_nobody_has_installed_is_listed_as_missing(site: Site) -> None:
    site.toml('transports = ["telegraph"]\n')
    assert listed(site)["telegraph"]["state"] == "missing"


def test_plugins_that_the_toml_enables_work_although_others_are_broken(site: Site) -> None:
    for name, (source, _) in BROKEN.items():
        site.write(name, source)
    assert site.run("chat", "--once", "hello").stdout == "hello\n"


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in ("dies", "is_killed")])
def test_a_broken_plugin_that_the_toml_needs_is_one_line_with_exit_code_3(site: Site, name: str) -> None:
    source, cause = BROKEN[name]
    site.write(name, source)
    site.toml(f'auth = "{name}"\n')
    done = site.run("chat", "--once", "hello")
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert cause in done.stderr
    assert f"nanokimi-{name.replace('_', '-')}" in done.stderr.replace("_", "-")


def test_a_plugins_commands_are_mounted_under_its_name_and_know_their_instance(site: Site) -> None:
    site.ours("desk")
    site.toml('[plugins.desk]\nout = "one"\n[plugins.second]\nuse = "desk"\nout = "two"\n')
    assert site.run("desk", "where").stdout == "desk writes one and keeps desk\n"
    assert site.run("second", "where").stdout == "second writes two and keeps second\n"
    (site.home / "other.toml").write_text('[plugins.desk]\nout = "three"\n')
    assert site.run("--config", "other.toml", "desk", "where").stdout == "desk writes three and keeps desk\n"
    assert "The desk's own commands" in site.run("desk", "--help").stdout
    assert listed(site)["desk"]["commands"] is True


def test_a_fault_in_a_plugins_command_is_the_plugins(site: Site) -> None:
    site.ours("desk")
    done = site.run("desk", "fall")
    assert done.returncode == 3
    assert done.stderr == (
        'nanokimi: plugin "desk" (nanokimi-desk 1.0) failed in its command: LookupError: the desk fell over, '
        f"at {TESTS / 'testbed/third_party/desk_commands.py'}:23 (fall); "
        "mend or update it, or take it out of nanokimi.toml\n"
    )


def test_commands_that_cannot_be_imported_are_the_plugins_fault(site: Site) -> None:
    for name, target in (("gone", "no.such:app"), ("other", "json:loads")):
        site.write(
            name, HEAD + f"@hookimpl\ndef nanokimi_auths(): return [Spec('{name}', object, commands='{target}')]"
        )
        done = site.run(name)
        assert done.returncode == 3
        assert done.stderr.startswith(f'nanokimi: plugin "{name}" (nanokimi-{name} 1.0)')
        assert target in done.stderr


def test_a_plugin_without_commands_says_so(site: Site) -> None:
    done = site.run("echo")
    assert (done.returncode, done.stderr) == (1, 'nanokimi: plugin "echo" brings no commands; see: nanokimi --help\n')


def test_a_distribution_that_forgot_its_entry_point_is_listed_with_the_lines_that_it_lacks(site: Site) -> None:
    site.write("post", FINE.format(name="post"))
    (points,) = site.folder.glob("packages/nanokimi_post-*/entry_points.txt")
    points.unlink()
    post = listed(site)["post"]
    assert (post["state"], post["distribution"], post["version"]) == ("broken", "nanokimi-post", "1.0")
    assert post["cause"] == "nanokimi-post 1.0 is installed, and has no entry point in the group nanokimi"
    assert "under [project.entry-points.nanokimi], the line post = " in post["remedy"]

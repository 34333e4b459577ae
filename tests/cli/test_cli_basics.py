from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nanokimi_core
from nanokimi_core.cli.commands import BUILT_IN
from testbed.site import Call, Site, command

COMMANDS = [
    *([name] for name in BUILT_IN if name not in ("config", "image", "auth", "debug", "dead", "chats")),
    *(["dead", name] for name in ("list", "show", "retry", "drop")),
    *(["chats", name] for name in ("list", "allow", "deny", "forget")),
    ["config", "show"],
    ["image", "build"],
    ["image", "status"],
    *(["auth", name] for name in ("status", "login", "logout", "refresh", "set-key", "import")),
    ["debug", "config"],
    ["debug", "probe"],
    ["debug", "logs"],
]
PROBE = """
import sys
from nanokimi_core.cli import main
sys.argv = ["nanokimi", *sys.argv[1:]]
try:
    main()
except SystemExit:
    pass
for name in sorted(sys.modules):
    print(name)
"""
INTERRUPTING = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "{module}":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""


def modules_after(site: Site, *arguments: str) -> set[str]:
    site.home.mkdir(exist_ok=True)
    code = [sys.executable, "-c", PROBE, *arguments]
    done = subprocess.run(code, capture_output=True, text=True, env=site.environ(), cwd=site.home, check=True)
    return set(done.stdout.split())


def test_the_version_is_printed_by_both_ways_of_starting(site: Site) -> None:
    done = site.run("--version")
    assert (done.returncode, done.stdout) == (0, f"nanokimi {nanokimi_core.__version__}\n")


def test_the_version_costs_neither_typer_nor_pydantic_nor_rich_nor_a_plugin(site: Site) -> None:
    site.ours("desk")
    loaded = modules_after(site, "--version")
    assert "nanokimi_core" in loaded
    heavy = {"typer", "segno", "pydantic", "pydantic_core", "rich", "pluggy", "anyio", "importlib.metadata"}
    assert not loaded & heavy
    assert not any(name.startswith(("nanokimi_backend", "nanokimi_auth", "testbed")) for name in loaded)


def test_help_imports_no_other_command_and_no_plugin(site: Site) -> None:
    site.ours("desk")
    loaded = modules_after(site, "--help")
    assert not {"pydantic", "nanokimi_core.cli.chat", "nanokimi_core.plugins"} & loaded
    assert not any(name.startswith("testbed") for name in loaded)


def test_a_command_imports_no_plugin_that_the_toml_does_not_enable(site: Site) -> None:
    site.ours("desk")
    loaded = modules_after(site, "chat", "--once", "hello")
    assert "nanokimi_core.builtin.echo" in loaded
    assert "segno" not in loaded
    assert not any(name.startswith(("nanokimi_backend", "nanokimi_auth", "testbed")) for name in loaded)


def test_every_name_that_a_plugin_author_imports_is_there_and_costs_nothing_before_it_is_used(site: Site) -> None:
    listed = set(nanokimi_core.__all__)
    assert {name for names in nanokimi_core._HOMES.values() for name in names} == listed
    assert all(getattr(nanokimi_core, name).__name__ for name in listed - {"hookimpl", "AgentEvent"})
    assert listed <= set(dir(nanokimi_core))
    with pytest.raises(AttributeError, match="has no attribute 'Bckend'"):
        getattr(nanokimi_core, "Bckend")  # noqa: B009  # as `from nanokimi_core import Bckend` does


def test_no_arguments_show_the_help(call: Call) -> None:
    done = call()
    assert done.code == 0
    assert all(name in done.out for name in BUILT_IN)


@pytest.mark.parametrize("name", [["config"], ["image"], ["auth"], ["debug"]], ids=" ".join)
def test_a_group_without_its_command_shows_its_help(call: Call, name: list[str]) -> None:
    done = call(*name)
    assert done.code == 0
    assert f"Usage: nanokimi {name[0]}" in done.out


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_and_the_option_config(call: Call, name: list[str]) -> None:
    done = call(*name, "--help")
    assert done.code == 0
    assert "Example" in done.out
    assert f"    nanokimi {' '.join(name)}" in done.out
    assert "--config FILE" in done.out or name == ["init"]
    assert "\x1b" not in done.out


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_list_of_commands_says_the_same_as_each_commands_own_help(call: Call, name: str) -> None:
    shown = " ".join(call(name, "--help").out.split())
    assert BUILT_IN[name].rstrip(".") in shown


def test_an_unknown_command_is_answered_with_the_nearest_one(call: Call) -> None:
    done = call("docter")
    assert (done.code, done.err) == (2, 'nanokimi: there is no command "docter"; did you mean "doctor"?\n')


def test_an_unknown_command_may_be_near_to_a_plugins_name(site: Site) -> None:
    site.ours("desk")
    assert 'did you mean "desk"?' in site.run("desc").stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chat", "--onec", "x"], "see: nanokimi chat --help"),
        (["debug", "logs", "--lines", "none"], "see: nanokimi debug logs --help"),
        (["chat", "--once", " "], "invalid value for --once: there is no text"),
        (["auth", "import"], "see: nanokimi auth import --help"),
        (["auth", "statsu"], "status"),
    ],
    ids=" ".join,
)
def test_wrong_use_is_one_sentence_that_names_the_help_and_exits_with_2(
    call: Call, arguments: list[str], said: str
) -> None:
    done = call(*arguments)
    assert done.code == 2
    assert done.err.startswith("nanokimi: ")
    assert done.err.count("\n") == 1
    assert said in done.err


def test_the_config_option_stands_before_or_after_the_command(call: Call, site: Site) -> None:
    (site.home / "other.toml").write_text('assistant = "Ada"\n')
    before, after = call("--config", "other.toml", "config", "show"), call("config", "show", "--config", "other.toml")
    assert 'assistant = "Ada"' in before.out
    assert before == after


def test_a_toml_that_is_named_and_missing_is_said_with_the_command_that_makes_it(call: Call) -> None:
    done = call("config", "show", "--config", "none.toml")
    assert done.code == 2
    assert done.err == (
        "nanokimi: --config names none.toml, but there is no such file; create it with: nanokimi init none.toml\n"
    )


def test_a_fault_of_our_own_is_one_sentence_unless_the_traceback_is_asked_for(site: Site) -> None:
    (site.home / "sitecustomize.py").write_text("import nanokimi_core.cli.config as c\nc.effective = None\n")
    env = {"PYTHONPATH": f"{site.home}:{site.environ()['PYTHONPATH']}"}
    done = site.run("config", "show", env=env)
    assert done.returncode == 1
    assert done.stderr == (
        "nanokimi: this is a fault of NanoKimi: TypeError: 'NoneType' object is not callable; "
        "to see where, run it again with NANOKIMI_DEBUG=1\n"
    )
    debugged = site.run("config", "show", env=env | {"NANOKIMI_DEBUG": "1"})
    assert "Traceback (most recent call last)" in debugged.stderr


@pytest.mark.parametrize("keeps", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("arguments", [["config", "show"], ["desk", "where"], ["desk", "tidy"]], ids=" ".join)
def test_output_that_nobody_reads_ends_a_command_without_a_word(site: Site, arguments: list[str], keeps: str) -> None:
    site.ours("desk")
    site.toml('[plugins.desk]\nout = "one"\n')
    reader, writer = os.pipe()
    os.close(reader)
    started, environ = command(arguments), site.environ(PYTHONUNBUFFERED=keeps)
    done = subprocess.run(
        started, stdout=writer, stderr=subprocess.PIPE, text=True, env=environ, cwd=site.home, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    "arguments",
    [["plugins"], ["doctor"], ["--help"], ["config"], ["--version"], ["chat", "--once", "x"], ["desk", "where"]],
    ids=" ".join,
)
def test_output_that_is_full_is_said_in_one_sentence(site: Site, arguments: list[str]) -> None:
    site.ours("desk")
    site.measured = False
    site.toml('[plugins.desk]\nout = "one"\n')
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(arguments),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=site.environ(),
            cwd=site.home,
            check=False,
        )
    assert done.returncode == 141
    *before, last = done.stderr.splitlines()
    assert last == "nanokimi: standard output can't be written to: No space left on device; send it elsewhere"
    assert all("refused an answer" in line for line in before)


@pytest.mark.parametrize("arguments", [["config", "show"], ["--version"], ["chat", "--once", "x"]], ids=" ".join)
def test_output_that_is_closed_from_the_start_is_said_in_one_sentence(site: Site, arguments: list[str]) -> None:
    site.toml("")
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *command(arguments)]
    done = subprocess.run(closed, stderr=subprocess.PIPE, text=True, env=site.environ(), cwd=site.home, check=False)
    assert done.returncode == 141
    assert done.stderr == "nanokimi: standard output can't be written to: it is closed; send it elsewhere\n"


def test_a_full_standard_error_changes_no_exit_code(site: Site) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(["docter"]), stdout=subprocess.PIPE, stderr=full, env=site.environ(), cwd=site.home, check=False
        )
    assert done.returncode == 2


@pytest.mark.parametrize("module", ["nanokimi_core.cli.guard", "typer", "nanokimi_core.cli.config"])
def test_ctrl_c_while_modules_are_imported_is_silent(site: Site, module: str) -> None:
    (site.home / "sitecustomize.py").write_text(INTERRUPTING.format(module=module))
    env = {"PYTHONPATH": f"{site.home}:{site.environ()['PYTHONPATH']}"}
    done = site.run("config", "show", env=env)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_an_ignored_ctrl_c_stays_ignored(site: Site) -> None:
    (site.home / "sitecustomize.py").write_text(INTERRUPTING.format(module="typer"))
    env = {"PYTHONPATH": f"{site.home}:{site.environ()['PYTHONPATH']}"}
    ignoring = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *command(["config", "show"])]
    done = subprocess.run(ignoring, capture_output=True, env=site.environ(**env), cwd=site.home, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("arguments", [["config", "show"], ["init"]], ids=" ".join)
def test_a_working_folder_that_was_deleted_is_said_in_one_sentence(site: Site, arguments: list[str]) -> None:
    gone = site.home / "gone"
    gone.mkdir()
    deleting = ["sh", "-c", 'rmdir "$PWD"; exec "$@"', "sh", *command(arguments)]
    done = subprocess.run(deleting, capture_output=True, text=True, env=site.environ(), cwd=gone, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "nanokimi: the working folder doesn't exist any more; change to another folder, and run it again\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [["plugins"], ["doctor"], ["auth", "status"], ["image", "status"], ["debug", "config"], ["--help"]],
    ids=" ".join,
)
def test_in_a_terminal_of_80_columns_nothing_is_wider(site: Site, arguments: list[str]) -> None:
    site.measured = False
    site.ours("lab", "vault")
    site.write(
        "torn", "raise RuntimeError('a cause so long that it takes more than one line of eighty columns to say')"
    )
    site.toml('backend = "lab"\nauth = "vault"\n')
    with site.terminal(*arguments, kind="xterm-256color") as terminal:
        terminal.ended()
    assert "\x1b[" in terminal.seen
    tables = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.seen).splitlines()
    wide = [line for line in tables if len(line) > 80]
    assert all(line.startswith("torn: ") for line in wide), wide


def test_there_are_no_colours_in_a_pipe(site: Site) -> None:
    site.measured = False
    for arguments in (["plugins"], ["doctor"], ["--help"], ["config", "show"]):
        assert "\x1b" not in site.run(*arguments).stdout

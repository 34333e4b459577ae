"""``nanokimi plugins new``. That what it writes can be installed, tested and used: ``tests/test_afternoon.py``."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from nanokimi_core import __version__
from nanokimi_core.cli.scaffold import Plan, place, write
from nanokimi_core.plugins import Kind
from testbed.site import Call, Site, command

ROOT = Path(__file__).parent.parent.parent
KINDS: tuple[Kind, ...] = get_args(Kind)
SHORT, LONG = "ab", "abcdefghijk_mnop_stuvwx9"
EVERYWHERE = {
    ".github/workflows/ci.yml",
    ".gitignore",
    "README.md",
    "pyproject.toml",
    "src/{package}/__init__.py",
    "src/{package}/py.typed",
    "src/{package}/rig.py",
    "tests/test_bot.py",
    "tests/test_conformance.py",
}


def files(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    ("kind", "toml"),
    [("transport", 'transports = ["my_net"]'), ("backend", 'backend = "my_net"'), ("auth", 'auth = "my_net"')],
)
def test_it_writes_a_whole_distribution_and_says_the_next_three_steps(
    call: Call, site: Site, kind: str, toml: str
) -> None:
    done = call("plugins", "new", kind, "my_net")
    assert (done.code, done.err) == (0, "")
    made = f"nanokimi-{kind}-my-net"
    for line in (f"pip install -e './{made}[test]'", f"pytest ./{made}", toml):
        assert line in done.out
    written = files(site.home / made)
    assert {name.format(package=f"nanokimi_{kind}_my_net") for name in EVERYWHERE} <= written.keys()
    assert not any(
        re.search(r"\$\w|\$\{|PACKAGE|\.tmpl", name + text) for name, text in written.items() if "ci" not in name
    )
    assert list(site.home.iterdir()) == [site.home / made]


@pytest.mark.parametrize("kind", KINDS)
def test_its_pyproject_has_bounds_and_the_entry_points_of_the_plugin_and_its_rig(tmp_path: Path, kind: Kind) -> None:
    write(Plan(kind, "my_net"), tmp_path / "made")
    project = tomllib.loads((tmp_path / "made" / "pyproject.toml").read_text())["project"]
    assert project["name"] == f"nanokimi-{kind}-my-net"
    assert project["entry-points"] == {
        "nanokimi": {"my_net": f"nanokimi_{kind}_my_net"},
        "nanokimi.rigs": {"my_net": f"nanokimi_{kind}_my_net.rig:Rig"},
    }
    core = tomllib.loads((ROOT / "pyproject.toml").read_text())
    known = [*core["project"]["dependencies"], *core["dependency-groups"]["dev"]]
    ours = [each for each in project["dependencies"] if each.startswith("nanokimi")]
    others = [each for each in project["dependencies"] if each not in ours] + project["optional-dependencies"]["test"]
    assert set(others) <= set(known)
    major, minor = map(int, __version__.split(".")[:2])
    assert ours == [f"nanokimi>={major}.{minor},<{major}.{minor + 1}"]
    assert "license" not in project


@pytest.mark.parametrize("name", [SHORT, LONG])
@pytest.mark.parametrize("kind", KINDS)
def test_what_it_writes_passes_ruff_as_it_comes_and_with_our_rules(tmp_path: Path, kind: Kind, name: str) -> None:
    write(Plan(kind, name), tmp_path)
    ours = ["--config", str(ROOT / "pyproject.toml")]
    for rules in ([], ours):
        for check in (["check"], ["format", "--check", "--diff"]):
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *check, "--no-cache", *rules, "."],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr


def test_what_it_writes_passes_mypy_strict(tmp_path: Path) -> None:
    for kind in KINDS:
        made = tmp_path / kind
        write(Plan(kind, SHORT), made)
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache")],
            cwd=made,
            env={"MYPYPATH": "src", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("wire", "post"), 'there is no plugin of the kind "wire"; the kinds are transport, backend, auth'),
        (("transport", "My-Net"), 'for example "my_net"'),
        (("transport", "myNet2"), 'for example "my_net2"'),
        (("transport", "../evil"), 'for example "evil"'),
        (("transport", "2nd"), 'for example "nd"'),
        (("transport", "a__b"), 'for example "a_b"'),
        (("transport", ""), "choose another name"),
        (("transport", "日本"), "choose another name"),
        (("transport", "a" * 25), f'for example "{"a" * 24}"'),
        (("auth", "doctor"), "it is a command of nanokimi"),
        (("auth", "backend"), "it is a kind of plugin"),
        (("transport", "console"), 'there is a plugin "console" already, from nanokimi '),
        (("backend", "vault"), "uninstall it first: pip uninstall nanokimi-vault"),
    ],
)
def test_a_name_that_cannot_be_used_is_one_sentence_and_nothing_is_written(
    call: Call, site: Site, arguments: tuple[str, str], said: str
) -> None:
    site.ours("vault")
    done = call("plugins", "new", *arguments)
    assert (done.code, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert said in done.err
    assert list(site.home.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(call: Call, site: Site) -> None:
    (site.home / "full").mkdir()
    (site.home / "full" / "mine").write_text("mine")
    (site.home / "file").write_text("mine")
    (site.home / "link").symlink_to("nowhere")
    for where, why in (("full", "has files in it already"), ("file", "is no folder"), ("link", "is no folder")):
        done = call("plugins", "new", "auth", "bank", "--dir", where)
        assert (done.code, done.out) == (1, "")
        assert f"{site.home / where} " in done.err
        assert why in done.err
    assert files(site.home) == {"full/mine": "mine", "file": "mine"}
    assert {path.name for path in site.home.iterdir()} == {"full", "file", "link"}


def test_an_empty_folder_is_filled_also_the_one_that_somebody_is_in(call: Call, site: Site) -> None:
    (site.home / "empty").mkdir()
    before = (site.home / "empty").stat().st_ino
    assert call("plugins", "new", "auth", "bank", "--dir", "empty").code == 0
    assert (site.home / "empty").stat().st_ino == before
    assert (site.home / "empty" / "pyproject.toml").exists()
    shutil.rmtree(site.home / "empty")
    done = call("plugins", "new", "auth", "bank", "--dir", ".")
    assert done.code == 0
    assert "pip install -e '.[test]'" in done.out
    assert (site.home / "pyproject.toml").exists()
    assert not list(site.home.glob(".nanokimi-new-*"))


def test_folders_above_its_place_are_made(call: Call, site: Site) -> None:
    assert call("plugins", "new", "auth", "bank", "--dir", "a/b/c").code == 0
    assert (site.home / "a" / "b" / "c" / "pyproject.toml").exists()


def test_where_it_cannot_be_written_to_the_end_nothing_of_it_is_left(site: Site) -> None:
    """No file can be longer than 2000 bytes, which some of them are."""
    (site.home / "empty").mkdir()
    environment = {name: value for name, value in site.environ().items() if not name.startswith("COVERAGE")}
    for where in ("new", "empty"):
        done = subprocess.run(
            command(["plugins", "new", "transport", "post", "--dir", where]),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
            cwd=site.home,
            env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"nanokimi: {site.home / where} can't be written: File too large; "
            "mend that, or name another place with --dir\n"
        )
    assert [path.name for path in site.home.iterdir()] == ["empty"]
    assert list((site.home / "empty").iterdir()) == []


def test_what_somebody_else_puts_there_meanwhile_is_left_and_nothing_beside_it(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / "aside" / name).mkdir(parents=True)
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "b").write_text("theirs")
    with pytest.raises(NotADirectoryError):
        place(tmp_path / "aside", tmp_path / "target")
    assert files(tmp_path) == {"target/b": "theirs"}
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["b"]

"""The guide's first transport, installed as its pyproject.toml says, is found and passes the check."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

from testbed.site import Site

LINE = Path(__file__).parent.parent.parent / "docs" / "plugins" / "line"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site with the distribution ``nanokimi-transport-line``: its modules and entry points, as pip would put them."""
    project = tomllib.loads((LINE / "pyproject.toml").read_text())
    described = project["project"]
    packages = tmp_path / "packages"
    info = packages / f"{described['name'].replace('-', '_')}-{described['version']}.dist-info"
    info.mkdir(parents=True)
    needs = "".join(f"Requires-Dist: {each}\n" for each in described["dependencies"])
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {described['name']}\nVersion: {described['version']}\n{needs}"
    )
    groups = described["entry-points"].items()
    lines = [f"[{group}]\n{name} = {target}\n" for group, points in groups for name, target in points.items()]
    (info / "entry_points.txt").write_text("".join(lines))
    for module in project["tool"]["hatch"]["build"]["targets"]["wheel"]["include"]:
        shutil.copy(LINE / module, packages)
    return Site(tmp_path)


def test_it_is_listed_and_passes_every_check_that_applies(site: Site) -> None:
    site.toml('transports = ["line"]\n[plugins.line]\npath = "/run/line.sock"\n[chats."line:*"]\n')
    listed = site.run("plugins")
    assert listed.returncode == 0, listed.stderr
    assert [line.split() for line in listed.stdout.splitlines() if line.startswith("line")] == [
        ["line", "transport", "nanokimi-transport-line", "0.1.0", "enabled"]
    ]
    checked = site.run("plugins", "check", "line")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "delivers what somebody writes" in checked.stdout
    assert "FAILED" not in checked.stdout


def test_without_its_table_the_error_names_the_key(site: Site) -> None:
    site.toml('transports = ["line"]\n[chats."line:*"]\n')
    done = site.run("run")
    assert done.returncode == 2
    assert "[plugins.line]" in done.stderr
    assert "path" in done.stderr
    assert "Traceback" not in done.stderr

"""Promises about the repository itself: its names, its manners, what importing it costs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PLUGINS = {
    "backend_kimi_docker": ("nanokimi-backend-kimi-docker", "kimi_docker"),
    "auth_oauth_file": ("nanokimi-auth-oauth-file", "oauth_file"),
    "auth_apikey": ("nanokimi-auth-apikey", "apikey"),
    "transport_whatsapp": ("nanokimi-transport-whatsapp", "whatsapp"),
}
EXAMPLES = {"transport_irc": ("nanokimi-transport-irc", "irc")}
PLACES = {f"plugins/{each}": names for each, names in PLUGINS.items()} | {
    f"examples/{each}": names for each, names in EXAMPLES.items()
}
BINARY = {".png", ".jpg", ".gif", ".ico", ".woff2"}
# Only these plugins may bring them; importing the core brings none.
HEAVY = {"docker", "acp", "irclib", "neonize", "mcp", "httpx", "requests", "typer", "rich", "tomli_w"}
REGISTRY = re.compile(r"(pypi|pythonhosted|npmjs|deb\.debian|docker)\.(org|io/v2)")
ONE_MACHINE = re.compile(r"(^|[^A-Za-z0-9_.])/(work|farm|Users)/|/home/(?!node\b|you\b|user\b|\w*\{|\$)[a-z]+/")
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|NotImplemented" r"Error)\b")


def git(*arguments: str) -> list[str]:
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip(f"not a git checkout: {done.stderr.strip()}")
    return done.stdout.split("\0")[:-1]


@cache
def tracked() -> list[Path]:
    """All files that git keeps or would keep."""
    names = git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return sorted(path for name in names if (path := ROOT / name).is_file())


@cache
def texts() -> dict[str, str]:
    return {str(path.relative_to(ROOT)): path.read_text() for path in tracked() if path.suffix not in BINARY}


def found(pattern: re.Pattern[str], *folders: str, suffix: str = "") -> list[str]:
    """Where a pattern stands, as ``file:line: text``."""
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts().items()
        if name.endswith(suffix) and (not folders or name.startswith(folders))
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def project(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())
    return data


def requirement_name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()


# --------------------------------------------------------------------- manners
def test_no_file_names_a_host_of_a_package_registry() -> None:
    assert found(REGISTRY) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert found(ONE_MACHINE) == []


def test_no_lock_file_is_kept() -> None:
    assert [path.name for path in tracked() if path.name in {"uv.lock", "poetry.lock", "package-lock.json"}] == []


def test_nothing_in_the_product_is_left_for_later() -> None:
    assert found(UNFINISHED, "src/", "plugins/", "examples/", "docs/", suffix=".py") == []


def test_the_core_and_the_example_run_on_anyio() -> None:
    core_and_example = ("src/nanokimi_core/", *(f"examples/{each}/src/" for each in EXAMPLES))
    assert found(re.compile(r"^\s*(import|from) asyncio\b"), *core_and_example, suffix=".py") == []


def test_no_file_is_too_long_to_read() -> None:
    assert [name for name, text in texts().items() if name.endswith(".py") and text.count("\n") > 500] == []


# --------------------------------------------------------------------- names that people rely on
def test_the_core_has_its_fixed_names() -> None:
    core = project(ROOT)["project"]
    assert core["name"] == "nanokimi"
    assert core["scripts"] == {"nanokimi": "nanokimi_core.cli:main"}
    assert set(core["entry-points"]["nanokimi"]) == {"console", "echo"}
    assert {"kimi", "all"} <= set(core["optional-dependencies"])


@pytest.mark.parametrize("folder", PLACES)
def test_a_plugin_has_its_fixed_names_and_its_own_tests_and_readme(folder: str) -> None:
    distribution, entry_point = PLACES[folder]
    place = ROOT / folder
    package = f"nanokimi_{place.name}"
    described = project(place)["project"]
    assert described["name"] == distribution
    assert described["entry-points"]["nanokimi"] == {entry_point: package}
    assert (place / "src" / package / "py.typed").is_file()
    assert len((place / "README.md").read_text().split()) > 20
    assert list((place / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("folder", PLACES)
def test_a_plugin_is_put_to_the_conformance_suite_of_its_kind(folder: str) -> None:
    kind = Path(folder).name.partition("_")[0].capitalize()
    suite = re.compile(rf"^class Test\w+\({kind}Suite\):$", re.MULTILINE)
    assert any(suite.search(path.read_text()) for path in (ROOT / folder / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("plugin", project(ROOT)["project"]["entry-points"]["nanokimi"])
def test_a_plugin_of_the_core_is_put_to_a_conformance_suite(plugin: str) -> None:
    _, rig = project(ROOT)["project"]["entry-points"]["nanokimi.rigs"][plugin].split(":")
    assert found(re.compile(rf"^    rig = {rig}$"), "tests/kit/test_", suffix=".py")


def test_every_plugin_in_the_repository_is_known_here() -> None:
    present = [path for folder in ("plugins", "examples") for path in (ROOT / folder).glob("*/pyproject.toml")]
    assert {str(path.parent.relative_to(ROOT)) for path in present} == set(PLACES)


def test_the_extras_pull_in_the_plugins() -> None:
    extras = project(ROOT)["project"]["optional-dependencies"]
    pulled = {requirement_name(each) for name in ("kimi", "whatsapp") for each in extras[name]}
    assert pulled == {distribution for distribution, _ in PLUGINS.values()}


# --------------------------------------------------------------------- what it depends on
def test_every_dependency_has_a_lower_and_an_upper_bound_and_a_tried_version() -> None:
    root = project(ROOT)
    pinned = {requirement_name(each) for each in root["tool"]["uv"]["constraint-dependencies"]}
    described = [root, *(project(ROOT / folder) for folder in PLACES)]
    wanted = [each for one in described for each in one["project"]["dependencies"]] + root["dependency-groups"]["dev"]
    assert [each for each in wanted if not (">=" in each and "<" in each)] == []
    assert {requirement_name(each) for each in wanted} - pinned - {"nanokimi"} == set()


# --------------------------------------------------------------------- documents
def test_the_readme_is_short_and_its_two_commands_are_the_ones_that_ci_runs() -> None:
    lines = texts()["README.md"].splitlines()
    assert len(lines) <= 120
    commands = [line.strip() for line in lines if line.strip().startswith("python3 -m venv")]
    assert len(commands) == 2
    chat, tests = commands
    assert re.search(r"uv run\b.* nanokimi chat$", chat)
    assert re.search(r"uv run\b.* pytest$", tests)


def test_guides_are_there_and_short() -> None:
    for name in ("LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "AGENTS.md"):
        assert name in texts(), f"{name} is missing"
    assert texts()["AGENTS.md"].count("\n") < 80


@pytest.mark.parametrize("guide", ["README.md", "CONTRIBUTING.md", "AGENTS.md"])
def test_a_guide_links_only_to_files_that_exist(guide: str) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", texts()[guide])
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("guide", ["CONTRIBUTING.md", "AGENTS.md"])
def test_a_guides_layout_names_only_what_exists(guide: str) -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", texts()[guide], re.MULTILINE)
    assert [place for place in rows if not (ROOT / place).exists()] == []


def test_the_layout_names_every_part_of_the_core_and_every_folder_of_tests() -> None:
    core = [path for path in (ROOT / "src/nanokimi_core").iterdir() if path.suffix == ".py" or path.is_dir()]
    parts = [path for path in [*core, *(ROOT / "tests").iterdir()] if path.suffix == ".py" or any(path.glob("*.py"))]
    wanted = [path.name for path in parts if not path.name.startswith(("_", "test_"))]
    assert len(wanted) > 30
    assert [name for name in wanted if not re.search(rf"[`/]{name}[`/]", texts()["AGENTS.md"])] == []


# --------------------------------------------------------------------- what importing costs
def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running some code."""
    report = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_core_brings_none_of_the_plugins_libraries() -> None:
    assert modules_after("import nanokimi_core") & HEAVY == set()


def test_asking_for_the_version_imports_no_plugin() -> None:
    code = "\n".join(
        [
            "import sys",
            "from nanokimi_core.cli import main",
            "sys.argv = ['nanokimi', '--version']",
            "try:",
            "    main()",
            "except SystemExit as leaving:",
            "    assert not leaving.code, leaving.code",
        ]
    )
    loaded = modules_after(code)
    assert {name for name in loaded if name.startswith("nanokimi_")} == {"nanokimi_core"}
    assert loaded & {"docker", "acp", "irclib", "neonize", "mcp", "httpx"} == set()


def test_the_version_is_the_same_everywhere() -> None:
    import nanokimi_core

    assert project(ROOT)["project"]["version"] == nanokimi_core.__version__
    assert {project(ROOT / folder)["project"]["version"] for folder in PLACES} == {nanokimi_core.__version__}

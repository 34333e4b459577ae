"""What an image is made of, and the name that follows from it. Needs no engine."""

from __future__ import annotations

import io
import re
import tarfile
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from nanokimi_backend_kimi_docker.agents import AGENTS
from nanokimi_backend_kimi_docker.config import KimiDockerConfig
from nanokimi_backend_kimi_docker.image.config import NODE_IMAGE, PYTHON_IMAGE, BuildConfig
from nanokimi_backend_kimi_docker.image.recipe import Recipe
from nanokimi_backend_kimi_docker.image.releases import RELEASES

GUIDE = Path(__file__).parents[3] / "docs/image.md"
PLAIN = Recipe.of("kimi-code", BuildConfig())


def files(recipe: Recipe) -> dict[str, tuple[int, str]]:
    with tarfile.open(fileobj=io.BytesIO(recipe.context())) as tar:
        found = {entry.name: (entry.mode, tar.extractfile(entry)) for entry in tar.getmembers()}
        return {name: (mode, data.read().decode()) for name, (mode, data) in found.items() if data is not None}


def test_the_name_says_the_agent_and_its_version_and_stays_the_same() -> None:
    assert re.fullmatch(r"nanokimi/kimi-code:2\.1\.0-[0-9a-f]{10}", PLAIN.name)
    assert Recipe.of("kimi-code", BuildConfig()).name == PLAIN.name


@pytest.mark.parametrize(
    "other",
    [
        Recipe.of("kimi-cli", BuildConfig()),
        Recipe.of("kimi-code", BuildConfig(python_image="python:3.13-slim-bookworm")),
        Recipe.of("kimi-code", BuildConfig(node_image="node:24-bookworm-slim")),
        Recipe.of("kimi-code", BuildConfig(chromium=True)),
        Recipe(replace(RELEASES["kimi-code"], version="2.1.1"), BuildConfig()),
    ],
)
def test_the_name_changes_with_everything_that_goes_in(other: Recipe) -> None:
    assert other.name != PLAIN.name


def test_the_name_does_not_change_with_how_the_build_reaches_the_internet() -> None:
    build = BuildConfig.model_validate({"network": "host", "proxy": {"https_proxy": "http://secret@proxy:3128"}})
    assert Recipe.of("kimi-code", build).name == PLAIN.name


def test_the_dockerfile_and_the_scripts_come_with_the_package() -> None:
    found = files(PLAIN)
    assert {"Dockerfile", "entrypoint.sh", "install/kimi-code.sh", "install/kimi-cli.sh", "install/warm.py"} == set(
        found
    )
    assert found["entrypoint.sh"][0] == 0o755
    for text in ("PYTHON_IMAGE", "NODE_IMAGE"):
        assert f"ARG {text}=" in found["Dockerfile"][1]


def test_the_dockerfiles_own_defaults_are_the_settings_defaults() -> None:
    dockerfile = files(PLAIN)["Dockerfile"][1]
    assert f"ARG PYTHON_IMAGE={PYTHON_IMAGE}\nARG NODE_IMAGE={NODE_IMAGE}\n" in dockerfile


def test_every_release_has_its_script_and_its_place_in_the_plugin() -> None:
    assert set(RELEASES) == set(AGENTS)
    for name, release in RELEASES.items():
        assert f"install/{name}.sh" in files(PLAIN)
        assert AGENTS[name].command == (str(release.executable), "acp")
        assert AGENTS[name].config_path == release.config
        AGENTS[name].check_version(release.version)


def test_nothing_in_the_image_names_an_architecture_or_needs_buildkit() -> None:
    for name, (_, text) in files(PLAIN).items():
        assert not re.search(r"x86|amd64|arm64|aarch64|linux-x64", text), name
        assert not re.search(r"--mount=|<<|--chmod|--link|# syntax", text), name


def test_no_agent_is_ever_run_bare() -> None:
    for name, (_, text) in files(PLAIN).items():
        if name.endswith(".sh"):
            runs = [line for line in text.splitlines() if "bin/kimi" in line and not line.strip().startswith("ln ")]
            assert all("warm.py" in line for line in runs), (name, runs)


def test_proxies_are_passed_in_both_spellings_and_shown_in_neither() -> None:
    build = BuildConfig.model_validate({"proxy": {"https_proxy": "http://user:canary@proxy:3128"}})
    recipe = Recipe.of("kimi-code", build)
    arguments = recipe.arguments()
    assert arguments["https_proxy"] == arguments["HTTPS_PROXY"] == "http://user:canary@proxy:3128"
    assert "canary" not in f"{build!r}{build}{recipe!r}{recipe.name}{build.model_dump_json()}"


def test_the_download_is_said_for_what_is_chosen() -> None:
    assert PLAIN.download == "about 170 MB"
    assert Recipe.of("kimi-cli", BuildConfig()).download == "about 210 MB"
    assert Recipe.of("kimi-code", BuildConfig(chromium=True)).download == "about 380 MB"
    own = Recipe.of("kimi-code", BuildConfig(python_image="registry.local/python:3.12"))
    assert own.download == f"about 50 MB, and registry.local/python:3.12 and {NODE_IMAGE} if they are missing"


@pytest.mark.parametrize(
    "table",
    [
        {"python_image": "--privileged"},
        {"node_image": ""},
        {"network": "a b"},
        {"proxy": {"AGENT_VERSION": "1.52.0"}},
        {"chromium": "maybe"},
        {"python": "3.12"},
    ],
)
def test_settings_that_make_no_sense_are_refused(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        BuildConfig.model_validate(table)


def test_the_guide_shows_every_setting_as_it_is() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    table = tomllib.loads(example)["plugins"]["kimi_docker"]
    shown = KimiDockerConfig.model_validate(table)
    assert set(table["build"]) == set(BuildConfig.model_fields)
    defaults = BuildConfig().model_dump(exclude={"network", "proxy"})
    assert shown.build.model_dump(exclude={"network", "proxy"}) == defaults


def test_the_guide_says_the_download_and_the_versions_as_they_are() -> None:
    guide = GUIDE.read_text()
    for release in RELEASES.values():
        assert f"{release.agent} {release.version}" in guide
        assert f"`{release.executable}`" in guide
        assert Recipe(release, BuildConfig()).download in guide

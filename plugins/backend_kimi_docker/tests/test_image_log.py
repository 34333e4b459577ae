"""What people see of a build, from what an engine says. Needs no engine."""

from __future__ import annotations

import pytest

from nanokimi_backend_kimi_docker.image.buildlog import BuildLog
from nanokimi_backend_kimi_docker.image.config import BuildConfig
from nanokimi_backend_kimi_docker.image.recipe import Recipe
from nanokimi_core import AgentError, Failure, Progress

RECIPE = Recipe.of("kimi-code", BuildConfig())
INSTALL = {"stream": 'Step 15/22 : RUN sh "/opt/nanokimi/install/${AGENT}.sh" "${AGENT_VERSION}"\n'}


def failure(*said: str, error: str, recipe: Recipe = RECIPE) -> AgentError:
    log = BuildLog(recipe)
    log.read(INSTALL)
    for line in said:
        log.read({"stream": line})
    with pytest.raises(AgentError) as caught:
        log.read({"errorDetail": {"code": 1, "message": error}, "error": error})
    assert caught.value.kind is Failure.ENGINE
    return caught.value


def test_steps_are_counted_and_said_in_plain_words() -> None:
    log = BuildLog(RECIPE)
    assert log.read(INSTALL) == Progress("installing kimi-code 2.1.0 and starting it once", 14, 22)
    assert log.read({"stream": "added 31 packages\n"}) is None
    assert log.read({"aux": {"ID": "sha256:0"}}) is None


def test_a_step_that_takes_no_time_keeps_the_words_of_the_one_before() -> None:
    log = BuildLog(RECIPE)
    log.read(INSTALL)
    assert log.read({"stream": "Step 16/22 : USER node\n"}) == Progress(
        "installing kimi-code 2.1.0 and starting it once", 15, 22
    )


def test_the_download_of_a_base_image_is_shown_as_it_comes() -> None:
    log = BuildLog(RECIPE)
    log.read({"stream": "Step 3/22 : FROM ${NODE_IMAGE} AS node\n"})
    first = {"status": "Downloading", "id": "a1", "progressDetail": {"current": 1_000_000, "total": 30_000_000}}
    second = {"status": "Downloading", "id": "b2", "progressDetail": {"current": 2_500_000, "total": 50_000_000}}
    assert log.read(first) == Progress("fetching node:22-bookworm-slim: 1 of 30 MB", 2, 22)
    assert log.read(second) == Progress("fetching node:22-bookworm-slim: 3 of 80 MB", 2, 22)
    assert log.read(second) is None
    assert log.read({"status": "Pull complete", "id": "a1", "progressDetail": {}}) is None


def test_a_failure_names_the_image_the_step_and_the_last_lines() -> None:
    error = failure("\x1b[91mnpm error code ETARGET\x1b[0m\n", error="returned a non-zero code: 1")
    assert RECIPE.name in str(error)
    assert "while installing kimi-code 2.1.0" in str(error)
    assert str(error).endswith("non-zero code: 1\nnpm error code ETARGET")
    assert "nanokimi image build" in error.remedy


def test_a_failure_keeps_only_the_last_lines() -> None:
    error = failure(*(f"line {number}\n" for number in range(500)), error="broken")
    assert "line 499" in str(error)
    assert "line 480" not in str(error)


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("write /usr/bin/x: no space left on device", "docker system prune"),
        ("pull access denied for pyton, repository does not exist", "python_image"),
        ("npm error SELF_SIGNED_CERT_IN_CHAIN", "docs/image.md"),
        ("E: Temporary failure resolving 'mirror'", 'network = "host"'),
        ("dial tcp: lookup registry: no such host", 'network = "host"'),
        ("something else", "--fresh"),
    ],
)
def test_a_failure_has_the_remedy_of_its_cause(said: str, remedy: str) -> None:
    assert remedy in failure(error=said).remedy


def test_a_proxys_password_stays_out_of_the_failure() -> None:
    build = BuildConfig.model_validate({"proxy": {"http_proxy": "http://user:canary@proxy:3128"}})
    error = failure(
        "connecting to http://user:canary@proxy:3128\n", error="failed", recipe=Recipe.of("kimi-code", build)
    )
    assert "connecting to ***" in str(error)
    assert "canary" not in f"{error}{error!r}{error.remedy}"

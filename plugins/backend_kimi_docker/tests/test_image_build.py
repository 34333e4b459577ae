"""Looking for the image and building it, on a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import anyio
import pytest

from nanokimi_backend_kimi_docker.engine import Engine
from nanokimi_backend_kimi_docker.image.build import build, build_image, image_name, image_status
from nanokimi_backend_kimi_docker.image.recipe import LABEL, Recipe
from nanokimi_backend_kimi_docker.image.releases import RELEASES
from nanokimi_core import AgentError, Failure, Progress
from testbed.engine import build_config, config, one_at_a_time

pytestmark = [pytest.mark.engine, pytest.mark.anyio]
SECONDS = 30


@pytest.fixture
def asked() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def alone(kimi_image: str) -> Iterator[None]:
    """The image is there, so its layers are cached; and no other test builds at the same time."""
    with one_at_a_time():
        yield


def building(engine: Any) -> set[str]:
    """The containers of builds."""
    return {each["Id"] for each in engine.containers(all=True, filters={"label": f"{LABEL}=part"})}


def left_over(engine: Any) -> set[str]:
    """The containers of builds, and the images of builds that no other image needs and no name holds."""
    return building(engine) | {each["Id"] for each in engine.images(filters={"dangling": True, "label": LABEL})}


async def steps_of(recipe: Recipe) -> list[Progress]:
    async with aclosing(build(recipe)) as steps:
        return [step async for step in steps]


async def test_an_image_that_is_there_is_described(asked: Engine, kimi_image: str) -> None:
    status = await image_status(asked, config())
    assert (status.name, status.present, status.buildable) == (kimi_image, True, True)
    assert status.detail.endswith(" MB, kimi-code 2.1.0")
    assert status.download.startswith("about ")


async def test_an_image_made_from_other_parts_counts_as_missing(asked: Engine, kimi_image: str) -> None:
    other = config(build=build_config().model_copy(update={"python_image": "nanokimi-test/nowhere:1"}))
    status = await image_status(asked, other)
    assert status.name != kimi_image
    assert (status.present, status.buildable) == (False, True)


async def test_an_image_of_the_owners_own_is_only_looked_up(asked: Engine, kimi_image: str) -> None:
    own = config(image=kimi_image)
    assert image_name(own) == kimi_image
    status = await image_status(asked, own)
    assert (status.present, status.buildable, status.download) == (True, False, "")
    missing = await image_status(asked, config(image="nanokimi-test/nowhere:1"))
    assert (missing.present, missing.buildable) == (False, False)
    with pytest.raises(AgentError, match="an image of your own") as caught:
        build_image(own)
    assert "[plugins.kimi_docker]" in caught.value.remedy


async def test_building_shows_every_step_and_ends_with_the_image(
    asked: Engine, engine: Any, alone: None, kimi_image: str
) -> None:
    before = left_over(engine) | {engine.inspect_image(kimi_image)["Id"]}
    steps = await steps_of(Recipe.of("kimi-code", build_config()))
    assert steps[-1] == Progress("done", 1, 1)
    assert [step.done for step in steps[:-1]] == list(range(len(steps) - 1))
    assert {step.total for step in steps[:-1]} == {len(steps) - 1}
    assert (await image_status(asked, config())).present
    assert left_over(engine) <= before


async def test_a_step_that_fails_ends_in_a_named_failure_and_leaves_nothing(engine: Any, alone: None) -> None:
    before = left_over(engine)
    release = replace(RELEASES["kimi-code"], version="2.1.9999")
    recipe = Recipe(release, build_config())
    with pytest.raises(AgentError, match=r"while installing kimi-code 2\.1\.9999 .*: The command") as caught:
        await steps_of(recipe)
    assert caught.value.kind is Failure.ENGINE
    assert "No matching version found" in str(caught.value)
    assert "nanokimi image build" in caught.value.remedy
    assert left_over(engine) <= before


async def test_a_base_image_without_node_ends_in_a_named_failure(engine: Any, alone: None) -> None:
    before = left_over(engine)
    bases = build_config()
    recipe = Recipe.of("kimi-code", bases.model_copy(update={"node_image": bases.python_image}))
    with pytest.raises(AgentError, match="while copying Node") as caught:
        await steps_of(recipe)
    assert caught.value.kind is Failure.ENGINE
    assert left_over(engine) <= before


async def test_a_base_image_that_does_not_exist_ends_in_a_named_failure(alone: None) -> None:
    name = "127.0.0.1:9/nanokimi-test/nowhere:1"
    recipe = Recipe.of("kimi-code", build_config().model_copy(update={"node_image": name}))
    with pytest.raises(AgentError, match=f"while fetching {name}") as caught:
        await steps_of(recipe)
    assert "[plugins.kimi_docker.build]" in caught.value.remedy


async def test_a_build_that_nobody_waits_for_is_stopped(engine: Any, alone: None) -> None:
    before, bases = building(engine), build_config()
    # Never finished, so never cached: the first step takes its time.
    recipe = Recipe.of("kimi-code", bases.model_copy(update={"python_image": bases.node_image}))
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(steps_of, recipe)
            while not building(engine) - before:
                await anyio.sleep(0.1)
            tasks.cancel_scope.cancel()
        while building(engine) - before:
            await anyio.sleep(0.1)
    await anyio.sleep(1)  # a build that went on would be at its next step
    assert building(engine) <= before

"""The plugin host: loads only what is asked for, and names the culprit."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from nanokimi_core import PluginError, Spec, hookimpl
from nanokimi_core.plugins import Plugin, PluginHost, installed
from testbed.fakes import plugin, providing


def make(config: Any, context: Any) -> object:
    return object()


def module(**hooks: Any) -> ModuleType:
    made = ModuleType("made_by_a_test")
    for name, function in hooks.items():
        setattr(made, name, function)
    return made


def error(host: PluginHost, name: str = "bad") -> str:
    with pytest.raises(PluginError) as caught:
        host.spec("transport", name)
    return str(caught.value)


def test_the_built_in_plugins_are_entry_points_like_any_other() -> None:
    host = PluginHost()
    assert host.spec("transport", "console").plugin.distribution == "nanokimi"
    assert host.spec("backend", "echo").spec.name == "echo"


def test_only_what_is_asked_for_is_imported() -> None:
    imported: list[str] = []

    def load(name: str) -> Plugin:
        def run() -> ModuleType:
            imported.append(name)
            return providing(transports=[Spec(name, make)])

        return Plugin(name, f"dist-{name}", "1.0", run)

    host = PluginHost([load("a"), load("b"), load("c")])
    host.spec("transport", "b")
    host.spec("transport", "b")
    assert imported == ["b"]


def test_plugins_are_listed_in_one_order() -> None:
    names = [found.name for found in installed()]
    assert names == sorted(names)


def test_a_missing_plugin_gets_the_nearest_name() -> None:
    assert 'plugin "consol" is not installed; did you mean "console"?' in error(PluginHost(), "consol")


def test_two_distributions_with_one_name_are_both_named() -> None:
    made = providing(transports=[Spec("bad", make)])
    host = PluginHost([plugin("bad", made, "first"), plugin("bad", made, "second")])
    assert error(host).startswith('plugin "bad" is provided by first 1.0 and second 1.0; uninstall one of them')


def test_two_plugins_that_provide_one_spec_are_both_named() -> None:
    host = PluginHost(
        [
            plugin("good", providing(transports=[Spec("good", make)]), "first"),
            plugin("bad", providing(transports=[Spec("good", make), Spec("bad", make)]), "second"),
        ]
    )
    host.spec("transport", "good")
    assert 'transport "good" is provided by first 1.0 and second 1.0' in error(host)


@pytest.mark.parametrize("raised", [ImportError("no module x"), SystemExit(3), SyntaxError("line 1")])
def test_a_plugin_that_dies_at_import_is_named_with_its_distribution(raised: BaseException) -> None:
    def load() -> ModuleType:
        raise raised

    host = PluginHost([Plugin("bad", "broken-dist", "0.3", load)])
    assert error(host).startswith(f'plugin "bad" (broken-dist 0.3) failed to load: {type(raised).__name__}')


def test_a_broken_plugin_leaves_the_others_usable() -> None:
    def load() -> ModuleType:
        raise ImportError

    good = plugin("good", providing(transports=[Spec("good", make)]))
    host = PluginHost([Plugin("bad", "broken-dist", "0.3", load), good])
    error(host)
    assert host.spec("transport", "good").spec.name == "good"


def test_a_misspelt_hook_is_refused() -> None:
    @hookimpl
    def nanokimi_transport() -> list[Any]:
        return []

    said = error(PluginHost([plugin("bad", module(nanokimi_transport=nanokimi_transport))]))
    assert "nanokimi_transport" in said
    assert "the hooks are nanokimi_transports" in said


def test_a_misspelt_hook_does_not_spoil_the_next_plugin() -> None:
    @hookimpl
    def nanokimi_transport() -> list[Any]:
        return []

    bad = plugin("bad", module(nanokimi_transport=nanokimi_transport))
    host = PluginHost([bad, plugin("good", providing(transports=[Spec("good", make)]))])
    error(host)
    assert host.spec("transport", "good")


def test_an_async_hook_is_refused_because_it_would_never_run() -> None:
    @hookimpl
    async def nanokimi_transports() -> list[Any]:
        return []

    said = error(PluginHost([plugin("bad", module(nanokimi_transports=nanokimi_transports))]))
    assert "nanokimi_transports is an async def, which would never run; make it a plain def" in said


@pytest.mark.parametrize("returned", [None, "line", [object()], {"line": 1}])
def test_a_hook_that_returns_something_else_is_refused(returned: Any) -> None:
    @hookimpl
    def nanokimi_transports() -> Any:
        return returned

    said = error(PluginHost([plugin("bad", module(nanokimi_transports=nanokimi_transports))]))
    assert "not a list of Spec; return [Spec(...)]" in said


@pytest.mark.parametrize("raised", [RuntimeError("boom"), SystemExit("out")])
def test_a_hook_that_raises_is_named(raised: BaseException) -> None:
    @hookimpl
    def nanokimi_transports() -> Any:
        raise raised

    said = error(PluginHost([plugin("bad", module(nanokimi_transports=nanokimi_transports))]))
    assert said.startswith('plugin "bad" (dist-bad 1.0) failed in nanokimi_transports')


def test_a_config_that_is_no_model_is_refused() -> None:
    spec: Any = Spec("bad", make, config=dict)  # type: ignore[arg-type]
    assert 'config of Spec "bad" is not a pydantic model' in error(
        PluginHost([plugin("bad", providing(transports=[spec]))])
    )


def test_a_plugin_of_another_kind_says_what_it_provides() -> None:
    host = PluginHost([plugin("bad", providing(backends=[Spec("bad", make)]))])
    assert "provides backend bad, and the toml uses it as transport" in error(host)


def test_one_module_under_two_entry_points_is_registered_once() -> None:
    made = providing(transports=[Spec("one", make), Spec("two", make)])
    host = PluginHost([plugin("one", made, "dist"), plugin("two", made, "dist")])
    assert host.spec("transport", "one")
    assert host.spec("transport", "two")

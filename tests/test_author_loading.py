"""Errors that a plugin's author meets before anything is made: hooks, entry points, and a core of another age."""

from __future__ import annotations

import importlib.metadata

import pytest

from nanokimi_core.distributions import without_entry_point
from nanokimi_core.plugins import PluginHost
from testbed.workshop import HEAD, Workshop, workshop

__all__ = ["workshop"]  # the fixture

CORE = importlib.metadata.version("nanokimi")
WHO = 'plugin "post" (nanokimi-post 1.0)'
RULE = "the hooks are nanokimi_transports, nanokimi_backends, nanokimi_auths, without arguments"
HOOK = "\n@hookimpl  #@hook\ndef nanokimi_transports():\n"

HOOKS = {
    "returns nothing": (
        HOOK + "    [Spec('post', object)]\n",
        ": nanokimi_transports ({@hook}) returned NoneType, not a list of Spec; return [Spec(...)]",
    ),
    "returns a list of classes": (
        HOOK + "    return [Spec]\n",
        ": nanokimi_transports ({@hook}) returned list with Spec in it, not a list of Spec; return [Spec(...)]",
    ),
    "gives a config that is no model": (
        HOOK + "    return [Spec('post', object, config=dict)]\n",
        ': the config of Spec "post" is not a pydantic model but dict (made in nanokimi_transports ({@hook})); '
        "give a subclass of pydantic.BaseModel, or leave it out",
    ),
    "gives a create that is no function": (
        HOOK + "    return [Spec('post', object())]\n",
        ': the create of Spec "post" can\'t be called: it is object (made in nanokimi_transports ({@hook})); '
        "give a class, or a function that takes (config, context)",
    ),
    "raises": (
        HOOK + "    raise LookupError('no ink')  #@here\n",
        " failed in nanokimi_transports: LookupError: no ink, at {@here} (nanokimi_transports); "
        "mend or update it, or take it out of nanokimi.toml",
    ),
    "is misspelt": (
        "\n@hookimpl  #@hook\ndef nanokimi_transprots():\n    return []\n",
        " has a hook that can't be used: nanokimi_transprots ({@hook}) is no hook of NanoKimi; "
        f'did you mean "nanokimi_transports"? {RULE}',
    ),
    "takes arguments": (
        "\n@hookimpl  #@hook\ndef nanokimi_transports(config):\n    return []\n",
        f" has a hook that can't be used: nanokimi_transports ({{@hook}}) takes (config); {RULE}",
    ),
    "is async": (
        "\n@hookimpl  #@hook\nasync def nanokimi_transports():\n    return []\n",
        ": nanokimi_transports is an async def, which would never run; make it a plain def, at {@hook}",
    ),
    "is not marked": (
        "\ndef nanokimi_transports():  #@hook\n    return [Spec('post', object)]\n",
        ": nanokimi_transports ({@hook}) isn't marked as a hook, and never called; "
        "write @hookimpl above it (from nanokimi_core import hookimpl)",
    ),
    "is neither marked nor spelt right": (
        "\ndef nanokimi_transport():  #@hook\n    return [Spec('post', object)]\n",
        ": nanokimi_transport ({@hook}) is neither marked nor named as a hook, and never called; call it "
        "nanokimi_transports, and write @hookimpl above it (from nanokimi_core import hookimpl)",
    ),
    "is forgotten": (
        "\nclass Post: ...\n",
        " has no hook in {module} ({file}); write one of nanokimi_transports, nanokimi_backends, nanokimi_auths there, "
        "with @hookimpl above it, that returns [Spec(...)]",
    ),
}


@pytest.mark.parametrize("what", HOOKS)
def test_a_hook_that_cannot_serve_is_named_with_its_place(workshop: Workshop, what: str) -> None:
    source, wanted = HOOKS[what]
    workshop.write(source)
    workshop.publish()
    assert workshop.refused() == WHO + workshop.told(wanted).replace("{file}", str(workshop.file))


def test_a_hook_of_another_name_that_says_which_one_it_is_serves(workshop: Workshop) -> None:
    workshop.write("\n@hookimpl(specname='nanokimi_transports')\ndef networks():\n    return [Spec('post', object)]\n")
    workshop.publish()
    assert PluginHost().spec("transport", "post").spec.name == "post"


def test_a_hook_that_pluggy_refuses_is_told_in_its_words_and_taken_back(workshop: Workshop) -> None:
    workshop.write("\n@hookimpl(wrapper=True)\ndef nanokimi_transports():\n    return []\n")
    workshop.publish()
    told = workshop.refused()
    assert told.startswith(f"{WHO} has a hook that can't be used: ")
    assert "wrapper=True" in told
    assert told.endswith(f"; {RULE}")


# --------------------------------------------------------------------- importing
RAISED = {
    "at its top": ("raise RuntimeError('no ink')  #@here\n", "RuntimeError: no ink, at {@here}"),
    "in a function": (
        "def fill():\n    raise RuntimeError('no ink')  #@here\nfill()\n",
        "RuntimeError: no ink, at {@here} (fill)",
    ),
    "in a library": ("import json\njson.loads('')  #@here\n", "char 0), at {@here}"),
    "no such library": ("import no_such_ink  #@here\n", "No module named 'no_such_ink', at {@here}"),
    "a syntax error": ("def fill(  #@here\n", "at {@here}"),
}


@pytest.mark.parametrize("what", RAISED)
def test_what_an_import_raises_is_told_with_the_place_in_the_plugins_own_code(workshop: Workshop, what: str) -> None:
    source, wanted = RAISED[what]
    workshop.write(source)
    workshop.publish()
    told = workshop.refused()
    assert told.startswith(f"{WHO} failed to load: ")
    assert told.endswith(f"{workshop.told(wanted)}; mend or update it, or take it out of nanokimi.toml")


def test_a_name_that_the_core_does_not_have_asks_for_a_newer_core_and_the_nearest_name(workshop: Workshop) -> None:
    workshop.write("from nanokimi_core import Trasport  #@here\n", head="")
    workshop.publish()
    assert workshop.refused() == WHO + workshop.told(
        f" failed to load: it wants Trasport of nanokimi_core, which nanokimi {CORE} doesn't have, at {{@here}}; "
        'did you mean "Transport"? else update the core: pip install -U nanokimi, and require the version that has it'
    )


def test_an_attribute_that_the_core_does_not_have_asks_for_a_newer_core(workshop: Workshop) -> None:
    workshop.write("import nanokimi_core\nnanokimi_core.Zeppelin  #@here\n", head="")
    workshop.publish()
    assert workshop.refused() == WHO + workshop.told(
        f" failed to load: it wants Zeppelin of nanokimi_core, which nanokimi {CORE} doesn't have, at {{@here}}; "
        "update the core: pip install -U nanokimi, and require the version that has it"
    )


# --------------------------------------------------------------------- the core's version
MAJOR_MINOR = CORE.rpartition(".")[0]


@pytest.mark.parametrize("wanted", [">=7,<8", "~=7.1", ">7", "==7.*"])
def test_a_core_that_is_too_old_for_a_plugin_is_refused_before_the_import(workshop: Workshop, wanted: str) -> None:
    workshop.write("raise AssertionError('imported')\n")
    workshop.publish(requires=f"nanokimi{wanted}")
    told = workshop.refused()
    assert told.startswith(f"{WHO} needs nanokimi ")
    assert f", and this is nanokimi {CORE}; update the core: pip install -U 'nanokimi" in told
    for part in wanted.split(","):
        assert part in told.partition(",")[0] + told.partition("and this")[0]


def test_a_core_that_is_too_new_for_a_plugin_is_refused_with_both_ways_out(workshop: Workshop) -> None:
    workshop.write("raise AssertionError('imported')\n")
    workshop.publish(requires="nanokimi[kimi]>=0.0.1,<0.0.2")
    assert workshop.refused() == (
        f"{WHO} needs nanokimi <0.0.2,>=0.0.1, and this is nanokimi {CORE}; update the plugin: "
        "pip install -U nanokimi-post; or take the core that it is made for: pip install -U 'nanokimi<0.0.2,>=0.0.1'"
    )


@pytest.mark.parametrize(
    "requires", ["nanokimi", f"nanokimi>={CORE}", "nanokimi>=7; extra == 'x'", "nanokimi-other>=7", "nanokimi no=="]
)
def test_a_requirement_that_this_core_meets_or_that_is_none_lets_the_plugin_load(
    workshop: Workshop, requires: str
) -> None:
    workshop.write(HOOK + "    return [Spec('post', object)]\n")
    workshop.publish(requires=requires)
    assert PluginHost().spec("transport", "post").spec.name == "post"


# --------------------------------------------------------------------- entry points
LINES = 'write in its pyproject.toml, under [project.entry-points.nanokimi], the line post = "{module}"'


@pytest.mark.parametrize(
    ("distribution", "requires"), [("nanokimi-transport-post", ""), ("nanokimi_post", ""), ("post", "nanokimi>=0.1")]
)
def test_a_forgotten_entry_point_is_said_with_the_lines_to_add(
    workshop: Workshop, distribution: str, requires: str
) -> None:
    workshop.write(HOOK + "    return [Spec('post', object)]\n")
    workshop.publish(distribution=distribution, group="", requires=requires)
    cause = f"{distribution} 1.0 is installed, and has no entry point in the group nanokimi"
    remedy = f"if it is a plugin, {workshop.told(LINES)}, and install it again"
    assert workshop.refused() == f'plugin "post" is not installed as one: {cause}; {remedy}'
    (found,) = without_entry_point()
    assert (found.name, found.distribution, found.version) == ("post", distribution, "1.0")
    assert (found.cause, found.remedy) == (cause, remedy)


def test_an_entry_point_in_a_group_that_nobody_reads_is_said(workshop: Workshop) -> None:
    workshop.write(HOOK + "    return [Spec('post', object)]\n")
    workshop.publish(group="nanokimi.plugins")
    assert "it has one in the group nanokimi.plugins, which nobody reads" in workshop.refused()


def test_a_toml_that_names_something_else_hears_of_the_distribution_that_could_be_meant(workshop: Workshop) -> None:
    workshop.write("")
    workshop.publish(distribution="pigeons", group="", requires="nanokimi")
    told = workshop.refused(name="xyz")
    assert told.startswith('plugin "xyz" is not installed; installed: ')
    assert told.endswith("; without an entry point in the group nanokimi, so not found: pigeons 1.0")


def test_distributions_that_have_nothing_to_do_with_the_core_are_not_listed(workshop: Workshop) -> None:
    workshop.write("")
    workshop.publish(distribution="nanokimino", group="", requires="nanokimi-like>=1")
    assert without_entry_point() == []


def test_an_entry_point_that_names_no_module_says_which_module_there_is(workshop: Workshop) -> None:
    workshop.write(HEAD)
    workshop.publish(target="nanokimi_pots")
    assert workshop.refused() == (
        f'{WHO} failed to load: its entry point names "nanokimi_pots", and there is no module nanokimi_pots; it brings '
        f"{workshop.module}; write the right one in its pyproject.toml, under [project.entry-points.nanokimi], "
        "and install it again"
    )


def test_an_entry_point_that_names_no_attribute_says_where_it_was_looked_for(workshop: Workshop) -> None:
    workshop.write("")
    workshop.publish(target=f"{workshop.module}:pluign")
    assert workshop.refused() == (
        f'{WHO} failed to load: its entry point names "{workshop.module}:pluign", and {workshop.module} '
        f"({workshop.file}) has no pluign; write the right one in its pyproject.toml, under "
        "[project.entry-points.nanokimi], and install it again"
    )


def test_a_module_that_raises_an_attribute_error_itself_is_not_taken_for_a_wrong_entry_point(
    workshop: Workshop,
) -> None:
    workshop.write("import json\njson.dmups  #@here\n")
    workshop.publish(target=f"{workshop.module}:plugin")
    told = workshop.refused()
    assert told.startswith(f"{WHO} failed to load: AttributeError: module 'json' has no attribute 'dmups'")
    assert workshop.told("at {@here}; mend or update it") in told


def test_an_entry_point_and_a_spec_of_two_names_are_both_named(workshop: Workshop) -> None:
    workshop.write(HOOK + "    return [Spec('mail', object)]\n")
    workshop.publish()
    assert workshop.refused() == workshop.told(
        f"{WHO} provides transport mail, and the toml uses it as transport post: its entry point is called post, and "
        'its Spec mail (nanokimi_transports ({@hook})); give both one name: Spec("post", …), or mail = "{module}" '
        "in its pyproject.toml under [project.entry-points.nanokimi]"
    )

from __future__ import annotations

import tomllib

import pytest

from nanokimi_core.config import Settings
from testbed.site import Call, Site

CANARY = "sk-canary-7f3a9e51c2"


def test_without_a_toml_the_defaults_are_shown_as_a_toml_that_could_be_used(call: Call, site: Site) -> None:
    done = call("config", "show")
    assert (done.code, done.err) == (0, "")
    shown = tomllib.loads(done.out)
    assert Settings.model_validate(shown).model_dump(exclude={"plugins"}) == Settings().model_dump(exclude={"plugins"})
    assert done.out.splitlines()[0] == "# toml: none, so these are the defaults"
    assert shown["limits"]["idle_timeout"] == "2m"
    assert "# owner is not set" in done.out


def test_plugin_tables_come_with_their_defaults_and_instances_with_their_plugin(call: Call, site: Site) -> None:
    site.ours("desk", "lab")
    site.toml('transports = ["second"]\nbackend = "lab"\n[plugins.second]\nuse = "desk"\nout = "out"\n')
    shown = tomllib.loads(call("config", "show").out)["plugins"]
    assert shown["second"] == {"use": "desk", "out": "out", "say": [], "ends": False, "checks": []}
    assert shown["lab"]["room"] == 3


def test_showing_makes_no_data_folder(call: Call, site: Site) -> None:
    site.toml("")
    call("config", "show")
    assert not site.data.exists()


def test_no_secret_is_shown_wherever_it_stands(call: Call, site: Site) -> None:
    site.toml(
        f"""
        auth = "apikey"
        [plugins.apikey]
        key = "{CANARY}"
        [plugins.unused]
        password = "{CANARY}"
        url = "https://me:{CANARY}@example.org/x"
        deep.er.api_key = "{CANARY}"
        tokens = ["{CANARY}"]
        """
    ).chmod(0o600)
    done = call("config", "show")
    assert done.code == 0, done.err
    assert CANARY not in done.out
    assert done.out.count("********") == 4
    assert CANARY in (site.home / "nanokimi.toml").read_text(), "the control: it would have been found"


def test_where_a_key_comes_from_is_shown(call: Call, site: Site) -> None:
    site.toml('auth = "apikey"\n[plugins.apikey]\nkey = { env = "WORK_KEY" }\n')
    assert tomllib.loads(call("config", "show").out)["plugins"]["apikey"]["key"] == {"env": "WORK_KEY"}


def test_a_broken_plugin_is_named_beside_its_table_and_the_rest_is_shown(site: Site) -> None:
    site.write("torn", "raise RuntimeError('out of paper')")
    site.toml('auth = "torn"\n[plugins.torn]\nkey = "abc"\n')
    done = site.run("config", "show")
    assert done.returncode == 0
    assert "RuntimeError: out of paper" in done.stdout
    assert tomllib.loads(done.stdout)["plugins"]["torn"] == {"key": "********"}


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('asistant = "Bo"', 'nanokimi.toml: unknown key "asistant"; did you mean "assistant"?'),
        ("[limits]\nmaxturns = 2", 'nanokimi.toml: [limits] unknown key "maxturns"; did you mean "max_turns"?'),
        ('[chats."line:*"]\ntriger = "always"', '[chats."line:*"] unknown key "triger"; did you mean "trigger"?'),
        ("[plugins.console]\nonec = 'x'", '[plugins.console] unknown key "onec"; did you mean "once"?'),
        ("assistant = ", "is not valid TOML"),
        ('[limits]\nidle_timeout = "soon"', '"idle_timeout": write a duration as "90s", "2m" or "1h30m"'),
        ('transports = "console"', '"transports": must be a list'),
        ("transports = []", '"transports": name at least one transport'),
    ],
)
def test_what_is_wrong_with_the_toml_is_one_sentence_with_exit_code_2(
    call: Call, site: Site, toml: str, said: str
) -> None:
    site.toml(toml + "\n")
    done = call("config", "show")
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.startswith("nanokimi: ")
    assert done.err.count("\n") == 1


def test_a_name_from_the_environment_that_is_too_long_is_not_blamed_on_the_toml(call: Call) -> None:
    done = call("config", "show", ASSISTANT_NAME="x" * 61)
    assert (done.code, done.err) == (2, "nanokimi: ASSISTANT_NAME is longer than 60 characters; shorten it\n")


def test_a_plugin_that_is_used_as_something_else_is_named_with_what_it_is(site: Site) -> None:
    site.toml('transports = ["echo"]\n')
    done = site.run("run")
    assert (done.returncode, done.stderr) == (
        3,
        'nanokimi: plugin "echo" (nanokimi 0.1.0) provides backend echo, and the toml uses it as transport; '
        "nanokimi plugins lists what each plugin is\n",
    )

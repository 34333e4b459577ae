from __future__ import annotations

import json

from testbed.site import Call, Site

LAB = 'backend = "lab"\n[plugins.lab]\n'


def test_the_config_that_the_agent_sees(call: Call, site: Site) -> None:
    site.ours("lab")
    site.toml(LAB)
    done = call("debug", "config")
    assert (done.code, done.err) == (0, "")
    assert "default model  lab" in done.out
    assert ["bench", "kimi", "http://127.0.0.1/v1", "yes", "no"] in [line.split() for line in done.out.splitlines()]


def test_a_default_model_that_is_not_among_the_models_is_named_and_exits_with_1(call: Call, site: Site) -> None:
    site.ours("lab")
    site.toml(LAB + 'default_model = "kimi-latest"\n')
    done = call("debug", "config")
    assert done.code == 1
    assert done.out.splitlines()[-1] == ('-> the default model "kimi-latest" is not among the models: "LLM is not set"')
    answer = json.loads(call("debug", "config", "--json").out)
    assert answer["problems"] == ['the default model "kimi-latest" is not among the models: "LLM is not set"']
    assert answer["providers"][0]["has_key"] is True


def test_a_probe_times_each_stage_and_prints_the_answer(call: Call, site: Site) -> None:
    site.ours("lab")
    site.toml(LAB)
    done = call("debug", "probe", "which model?")
    assert done.code == 0
    lines = [line.split() for line in done.out.splitlines()]
    assert ["session", "0.500", "s", "0.500", "s"] in lines
    assert ["end", "0.250", "s", "0.750", "s"] in lines
    assert done.out.endswith("\nyou asked: which model?\n")
    answer = json.loads(call("debug", "probe", "--json").out)
    assert answer["timings"][0] == {"stage": "session", "seconds": 0.5}


def test_a_probe_that_fails_shows_how_far_it_came_and_why_it_ended(call: Call, site: Site) -> None:
    site.ours("lab")
    site.toml(LAB + 'fails = "the month is used up"\n')
    done = call("debug", "probe")
    assert done.code == 1
    assert ["session", "0.500", "s", "0.500", "s"] in [line.split() for line in done.out.splitlines()]
    assert done.err == "nanokimi: the month is used up; pay the bill\n"


def test_a_fault_in_a_probe_is_the_plugins(call: Call, site: Site) -> None:
    site.ours("lab")
    site.toml(LAB + 'raises = "no such shelf"\n')
    done = call("debug", "probe")
    assert done.code == 3
    assert 'plugin "lab" (nanokimi-lab 1.0) failed to probe the agent: LookupError: no such shelf' in done.err


def test_the_last_lines_of_the_agents_log(call: Call, site: Site) -> None:
    site.ours("lab")
    site.toml(LAB + 'log = "one\\ntwo\\nthree"\n')
    assert call("debug", "logs", "--lines", "2").out == "two\nthree\n"


def test_an_empty_log_says_what_to_try(call: Call, site: Site) -> None:
    site.ours("lab")
    site.toml(LAB)
    done = call("debug", "logs")
    assert done.code == 1
    assert done.err == (
        "nanokimi: the agent of console:local has logged nothing yet; try first: nanokimi debug probe\n"
    )


def test_a_backend_without_an_agent_says_so(call: Call) -> None:
    for name in ("config", "probe", "logs"):
        done = call("debug", name)
        assert done.code == 1
        assert done.err.startswith('nanokimi: the backend "echo" has no agent to look into; ')


def test_the_chat_that_is_named_decides_and_an_unknown_one_is_refused(call: Call, site: Site) -> None:
    site.ours("lab")
    site.toml('[chats."line:*"]\nbackend = "lab"\n')
    assert "default model" in call("debug", "config", "--chat", "line:desk").out
    done = call("debug", "config", "--chat", "other:desk")
    assert done.code == 1
    assert 'the toml knows no chat "other:desk"' in done.err


def test_a_transport_that_is_broken_does_not_stop_debugging(site: Site) -> None:
    site.ours("lab")
    site.write("torn", "raise RuntimeError('out of paper')")
    site.toml('transports = ["torn"]\n' + LAB)
    assert site.run("debug", "probe").returncode == 0

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time

import pytest

from testbed.site import Site

SECONDS = 60
TWO_DESKS = """
transports = ["desk", "second"]
backend = "lab"
[plugins.desk]
out = "{out}.one"
say = ["hello"]
ends = true
[plugins.second]
use = "desk"
out = "{out}.two"
say = ["ahoy"]
ends = true
[chats."desk:*"]
[chats."second:*"]
"""
SLOW_TURN = """
transports = ["desk"]
backend = "lab"
[plugins.desk]
out = "{out}"
say = ["hello", "again"]
[plugins.lab]
seconds = {seconds}
[chats."desk:*"]
"""


def with_image(site: Site) -> None:
    site.ours("desk", "lab")
    folder = site.data / "plugins" / "lab"
    folder.mkdir(parents=True)
    (folder / "image").touch()


def log_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stderr is not None
    said = ""
    deadline = time.monotonic() + SECONDS
    while text not in said:
        assert time.monotonic() < deadline, said
        line = process.stderr.readline()
        assert line, f"{text!r} never came: {said}"
        said += line
    return said


def until_a_turn_runs(site: Site) -> None:
    deadline = time.monotonic() + SECONDS
    while not (site.data / "plugins" / "lab" / "begun").exists():
        assert time.monotonic() < deadline, "no turn was begun"
        time.sleep(0.01)


def test_several_transports_and_instances_run_in_one_process_and_it_ends_when_all_have_ended(site: Site) -> None:
    with_image(site)
    site.toml(TWO_DESKS.format(out=site.home / "out"))
    done = site.run("run")
    assert done.returncode == 0, done.stderr
    assert (site.home / "out.one").read_text() == "thinking done: hello\n"
    assert (site.home / "out.two").read_text() == "thinking done: ahoy\n"
    assert done.stderr.endswith("INFO nanokimi: every transport has come to its end\n")


def test_the_first_line_of_the_log_says_what_runs(site: Site) -> None:
    with_image(site)
    toml = site.toml(TWO_DESKS.format(out=site.home / "out"))
    first = site.run("run").stderr.splitlines()[0]
    assert "INFO nanokimi: Kai runs (nanokimi " in first
    assert first.endswith(f"transports desk, second; backend lab; auth none; toml {toml}; data {site.data}")


def test_sigterm_finishes_the_running_turn_and_exits_with_0(site: Site) -> None:
    with_image(site)
    out = site.home / "out"
    site.toml(SLOW_TURN.format(out=out, seconds=1.5))
    with site.start("run") as service:
        log_until(service, "desk is connected")
        until_a_turn_runs(site)
        service.send_signal(signal.SIGTERM)
        said = log_until(service, "SIGTERM: stopping")
        assert service.wait(SECONDS) == 0
    assert "thinking done: hello\n" in out.read_text()
    assert "Traceback" not in said


def test_a_turn_that_takes_longer_than_stop_timeout_does_not_hold_up_the_stop(site: Site) -> None:
    with_image(site)
    toml = SLOW_TURN.format(out=site.home / "out", seconds=60) + '[limits]\nstop_timeout = "1s"\n'
    site.toml(toml)
    with site.start("run") as service:
        log_until(service, "desk is connected")
        until_a_turn_runs(site)
        service.send_signal(signal.SIGTERM)
        said = log_until(service, "unfinished")
        assert service.wait(SECONDS) == 0
    assert "stopped with turns unfinished after 1 s" in said


def test_a_second_signal_ends_it_at_once(site: Site) -> None:
    with_image(site)
    site.toml(SLOW_TURN.format(out=site.home / "out", seconds=60))
    with site.start("run") as service:
        log_until(service, "desk is connected")
        service.send_signal(signal.SIGTERM)
        log_until(service, "SIGTERM: stopping")
        service.send_signal(signal.SIGTERM)
        assert service.wait(SECONDS) == -signal.SIGTERM
    assert site.run("config", "show").returncode == 0


def test_ctrl_c_stops_it_cleanly_with_the_exit_code_of_ctrl_c(site: Site) -> None:
    with_image(site)
    site.toml(SLOW_TURN.format(out=site.home / "out", seconds=0))
    with site.start("run") as service:
        log_until(service, "desk is connected")
        service.send_signal(signal.SIGINT)
        assert service.wait(SECONDS) == 130


def test_the_lock_is_free_again_after_a_process_was_killed(site: Site) -> None:
    with_image(site)
    site.toml(SLOW_TURN.format(out=site.home / "out", seconds=0))
    with site.start("run") as service:
        log_until(service, "desk is connected")
        assert site.run("run").returncode == 4
        service.kill()
        service.wait(SECONDS)
    site.toml(TWO_DESKS.format(out=site.home / "out"))
    assert site.run("run").returncode == 0


def test_a_service_says_in_one_line_that_an_image_is_missing_and_goes_on(site: Site) -> None:
    site.ours("desk", "lab")
    site.toml(TWO_DESKS.format(out=site.home / "out"))
    done = site.run("run")
    assert done.returncode == 0
    (line,) = [line for line in done.stderr.splitlines() if "WARNING" in line]
    assert line.endswith(
        'the agent\'s image "lab:1" is not on this machine; build it with: nanokimi image build (downloads about 3 MB)'
    )
    assert (site.home / "out.one").exists()


def test_a_service_starts_although_the_engine_cannot_be_asked(site: Site) -> None:
    site.ours("desk", "lab")
    site.toml(TWO_DESKS.format(out=site.home / "out") + '[plugins.lab]\nfails = "engine"\n')
    done = site.run("run")
    assert done.returncode == 0
    assert "WARNING nanokimi: the lab is locked; unlock it\n" in done.stderr


def test_a_plugin_that_the_toml_needs_and_that_is_broken_stops_the_start_with_one_line(site: Site) -> None:
    site.write("torn", "raise RuntimeError('out of paper')")
    site.toml('transports = ["torn"]\n')
    done = site.run("run")
    assert done.returncode == 3
    assert done.stderr == (
        'nanokimi: plugin "torn" (nanokimi-torn 1.0) failed to load: RuntimeError: out of paper, '
        f"at {site.folder / 'packages' / 'third_party_torn0.py'}:1; "
        "mend or update it, or take it out of nanokimi.toml\n"
    )


def test_a_data_folder_that_cannot_be_made_is_said_with_the_remedy(site: Site) -> None:
    (site.home / "file").write_text("")
    done = site.run("run", env={"NANOKIMI_HOME": str(site.home / "file" / "data")})
    assert done.returncode == 2
    assert done.stderr.startswith(f"nanokimi: the data folder {site.home}/file/data can't be used: ")
    assert done.stderr.count("\n") == 1


def test_a_test_that_fails_leaves_no_process_behind(site: Site) -> None:
    with pytest.raises(AssertionError, match="it fails"), site.start("chat", stdin=subprocess.PIPE) as process:
        raise AssertionError("it fails")
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("toml", "arguments", "json_lines"),
    [('logs = "json"', (), True), ('logs = "json"', ("--logs", "text"), False), ("", ("--logs", "json"), True)],
)
def test_the_form_of_the_log_is_the_tomls_unless_the_command_line_names_another(
    site: Site, toml: str, arguments: tuple[str, ...], json_lines: bool
) -> None:
    with_image(site)
    site.toml(f"{toml}\n{TWO_DESKS.format(out=site.home / 'out')}")
    done = site.run("run", *arguments)
    assert done.returncode == 0, done.stderr
    for line in done.stderr.splitlines():
        assert line.startswith("{") == json_lines
        if json_lines:
            assert json.loads(line)["message"]


def test_a_service_stops_when_the_terminal_that_it_was_started_in_is_closed(site: Site) -> None:
    site.ours("desk")
    site.toml(f'transports = ["desk"]\n[plugins.desk]\nout = "{site.folder / "out"}"\n')
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "nanokimi_core", "run"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        cwd=site.home,
        env=site.environ(),
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(2, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    seen = b""
    with process:
        try:
            for word in (b" runs ", b"connected", b"read again"):
                while word not in seen:
                    assert select.select([ours], [], [], 20)[0], seen
                    seen += os.read(ours, 4096)
                if word == b"connected":
                    process.send_signal(signal.SIGHUP)  # from a person: not the terminal's end
            os.close(ours)
            assert process.wait(20) == 0
        finally:
            process.kill()

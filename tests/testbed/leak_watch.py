"""Lets a test fail that has shown a secret, and a run of tests that has left one behind."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any

import pytest

from testbed.leaks import Watch, in_files, marked

_WATCH = pytest.StashKey[Watch]()
_LEFT = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Listen to what is logged."""
    config.stash[_WATCH] = watch = Watch()
    logging.getLogger().addHandler(watch)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Listen no more."""
    logging.getLogger().removeHandler(config.stash[_WATCH])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look at what a test has logged and printed."""
    report = yield
    watch = item.config.stash[_WATCH]
    if watch not in logging.getLogger().handlers:  # a test of the log's set-up has put its own in place of all
        logging.getLogger().addHandler(watch)
    found = watch.taken()
    for name, text in report.sections:
        if name.startswith(("Captured stdout", "Captured stderr")) and (mark := marked(text)):
            found.append(f"{name} shows a secret ({mark})")
    if found and report.passed:
        report.outcome = "failed"
        report.longrepr = "\n".join(found)
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Look at all files that the tests have left."""
    factory: Any = getattr(session.config, "_tmp_path_factory", None)
    base = getattr(factory, "_basetemp", None)
    left = session.config.stash[_LEFT] = [] if base is None else list(in_files(base))
    if left and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the files."""
    left = terminalreporter.config.stash.get(_LEFT, [])
    if left:
        terminalreporter.section("secrets that were left behind", red=True)
        for line in left[:50]:
            terminalreporter.line(line)

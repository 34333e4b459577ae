"""The pytest plugin: fixtures for tests of plugins. pytest finds it by itself where NanoKimi is installed."""

from __future__ import annotations

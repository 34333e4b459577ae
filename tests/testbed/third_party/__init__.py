"""Plugins as somebody else would write them, for tests that run the real command in a process of its own."""

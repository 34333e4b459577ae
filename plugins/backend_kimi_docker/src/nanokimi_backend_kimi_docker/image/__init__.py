"""The image that the agents run from: what goes in, what it is called, how it is built.

Import the modules themselves: ``config`` is needed by the plugin's own settings, which the others need.
"""

"""What the contract wants of a plugin, as checks that run against it; a module for each kind of plugin."""

"""What plugins and the core ask of each other, as types; one module for each kind of plugin."""

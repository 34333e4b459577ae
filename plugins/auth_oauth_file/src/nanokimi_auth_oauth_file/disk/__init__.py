"""The login's file: where it lies, who may use it, how it is read and written whole."""

"""The adapters that ship with the gateway, installed as ``opsorch_plugins``: one folder each."""

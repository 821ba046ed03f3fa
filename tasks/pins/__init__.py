"""Pins: packages taken from a branch or a folder instead of this tree, and versions of others that are held back.

`pins.toml` lists them; `model` reads it, `edit` changes its text, `source` asks git, `apply` turns pins into what uv is
told, `command` is ``./noxw -s pin``, `difference` is its ``try``.
"""

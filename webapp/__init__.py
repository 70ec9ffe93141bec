"""Hearth: a local LLM server and its manager in one program."""

__version__ = "0.1.0"

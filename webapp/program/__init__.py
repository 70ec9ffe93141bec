"""Hearth as a program on somebody's computer: the command line, one server, the launcher. Nothing imports it."""

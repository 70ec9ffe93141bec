"""Finds the provider, model and terms for the name in a request. Knows no engine and no web."""

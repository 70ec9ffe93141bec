"""Conversations whose answers belong to the server, and the responses that are kept. Knows no HTML and no Flask."""

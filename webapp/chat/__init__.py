"""Conversations whose answers belong to the server, and the stored responses of /v1/responses. No HTML, no Flask."""

"""`hearth status` prints the state of the running server as a table or as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.error import HTTPError

from webapp.people.tickets import Tickets
from webapp.program.instance import Running
from webapp.program.launcher import visit
from webapp.sizes import size

PATIENCE_SECONDS = 5.0


class NoStatus(Exception):
    """Raised when the server gives no status; the message is the reason."""


def show(running: Running, tickets: Tickets, *, as_json: bool, patience_seconds: float = PATIENCE_SECONDS) -> int:
    """Print the status and return 0; print the reason and return 1 if the server gives none."""
    try:
        engine = ask(running, tickets, "/v1/health", patience_seconds)
        pool = ask(running, tickets, "/api/pool", patience_seconds)
        words = json.dumps({"url": running.url, "pid": running.pid, "engine": engine, "pool": pool})
        print(words if as_json else "\n".join(lines(running, engine, pool)))
    except (NoStatus, LookupError, TypeError, ValueError) as problem:
        reason = problem if isinstance(problem, NoStatus) else "its answer is not one of Hearth's"
        print(f"Hearth does not tell its status at {running.url}: {reason}.", file=sys.stderr)
        return 1
    return 0


def lines(running: Running, engine: dict[str, Any], pool: dict[str, Any]) -> list[str]:
    """The table, row by row."""
    return [
        f"Hearth {engine.get('version')} at {running.url}, process {running.pid}",
        f"engine   {engine.get('status')} on {engine.get('device')}, {engine.get('blas')}",
        f"memory   {size(pool['used_bytes'])} of {size(pool['limit_bytes'])}",
        f"requests {pool['running']} running, {pool['waiting']} waiting, {pool['tokens_per_second']:.1f} tokens/s",
        *(f"model    {each['id']}: {each['state']}, {size(each['weights_bytes'])}" for each in pool["models"]),
    ]


def ask(running: Running, tickets: Tickets, path: str, patience_seconds: float) -> dict[str, Any]:
    """The JSON that the server answers at `path`, also with an error status such as 503. Raises NoStatus."""
    try:
        with visit(running, tickets).open(running.url + path, timeout=patience_seconds) as reply:
            return dict(json.load(reply))
    except HTTPError as error:
        return _said_with(error)
    except OSError as error:
        raise NoStatus(str(getattr(error, "reason", None) or error) or type(error).__name__) from error
    except (ValueError, TypeError) as error:
        raise NoStatus("its answer is not JSON") from error


def _said_with(error: HTTPError) -> dict[str, Any]:
    """The JSON body of a report that came with an error status. Raises NoStatus if the body is an error or no JSON."""
    try:
        body = json.load(error)
    except (ValueError, OSError):
        raise NoStatus(f"status {error.code}") from error
    if isinstance(body, dict) and "error" not in body:
        return body
    message = body["error"].get("message") if isinstance(body, dict) and isinstance(body["error"], dict) else None
    raise NoStatus(f"status {error.code}{f', {message}'.rstrip('.') if message else ''}") from error

"""Stores the responses of /v1/responses, so that a later request can continue from one. Knows no HTTP.

The owner of a response is the name of a key, or None for the person at this machine. Nobody finds another's.
"""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from webapp.errors import InvalidRequest, ResponseNotFound
from webapp.store.database import FAILURES
from webapp.store.responses import ResponseStore, SavedResponse

log = logging.getLogger(__name__)

MOST = 1000
MOST_BYTES = 256_000_000
# Finding the responses to delete takes some milliseconds, so it happens once for this many new ones.
AT_ONCE = 50
KEPT_SECONDS = 30 * 86_400.0

Json = Mapping[str, Any]


class Responses:
    """Keeps the newest responses, as `most` and `most_bytes` allow, and those that these continue. Thread-safe.

    Deletes the others at the start, and whenever `at_once` more have come.
    """

    def __init__(
        self,
        store: ResponseStore,
        clock: Callable[[], float] = time.time,
        most: int = MOST,
        most_bytes: int = MOST_BYTES,
        at_once: int = AT_ONCE,
    ):
        self._store = store
        self._clock = clock
        self._most = most
        self._most_bytes = most_bytes
        self._at_once = at_once
        self._counter = itertools.count(1)
        self._retain()

    def keep(self, owner: str | None, asked: Sequence[Json], response: Json) -> bool:
        """Store a response with its input. If that fails, it logs the error and returns False: the answer goes out."""
        saved = SavedResponse(
            str(response["id"]),
            owner,
            response["previous_response_id"],
            self._clock(),
            json.dumps(asked, ensure_ascii=False),
            json.dumps(response, ensure_ascii=False),
        )
        try:
            self._store.add(saved)
        except FAILURES as error:
            log.error("a response was not kept: %s", error)
            return False
        if next(self._counter) % self._at_once == 0:
            self._retain()
        return True

    def find(self, owner: str | None, response_id: str) -> Json:
        """The response as the client got it. Raises ResponseNotFound."""
        response: Json = json.loads(self._chain(owner, response_id)[-1].response)
        return response

    def input_of(self, owner: str | None, response_id: str) -> list[Json]:
        """The items before the response: the earlier conversation, as far as it is stored, and its own input.

        Raises ResponseNotFound.
        """
        *earlier, last = self._chain(owner, response_id)
        return [*_items_of_chain(earlier), *json.loads(last.input)]

    def items_of(self, owner: str | None, response_id: str) -> list[Json]:
        """The input and output items of one response, without earlier ones; empty if it is not stored."""
        return _items_of_chain(self._store.chain(response_id, owner)[-1:])

    def conversation(self, owner: str | None, response_id: str) -> list[Json]:
        """All items up to the end of a response. Raises InvalidRequest if any response of the chain is missing."""
        chain = self._store.chain(response_id, owner)
        missing = chain[0].previous if chain else response_id
        if missing is not None:
            message = f"Previous response with id '{missing}' not found."
            raise InvalidRequest(message, "previous_response_id", "previous_response_not_found")
        return _items_of_chain(chain)

    def delete(self, owner: str | None, response_id: str) -> None:
        """Delete a response. Raises ResponseNotFound."""
        if not self._store.delete(response_id, owner):
            raise ResponseNotFound(response_id)

    def _chain(self, owner: str | None, response_id: str) -> tuple[SavedResponse, ...]:
        chain = self._store.chain(response_id, owner)
        if not chain:
            raise ResponseNotFound(response_id)
        return chain

    def _retain(self) -> None:
        """Delete the responses over the limits. A failure is logged, and the next call tries again."""
        try:
            self._store.retain(self._clock() - KEPT_SECONDS, self._most, self._most_bytes)
        except FAILURES as error:
            log.error("old responses could not be deleted: %s", error)


def _items_of_chain(chain: Sequence[SavedResponse]) -> list[Json]:
    return [item for saved in chain for item in (*json.loads(saved.input), *json.loads(saved.response)["output"])]

"""The responses of /v1/responses that are kept, so that a later request goes on from them. Knows no HTTP.

Whose a response is, is a key's name, or None for whoever sits before this machine. Nobody finds another's.
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
# Looking for them takes some milliseconds.
AT_ONCE = 50
KEPT_SECONDS = 30 * 86_400.0

Json = Mapping[str, Any]


class Responses:
    """Kept are the newest, as `most` and `most_bytes` allow, and those that these go on from. Thread-safe.

    The others go at the start, and whenever `at_once` more have come.
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
        """Whether the disk took it; an answer is worth more than its copy."""
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
        """The response as it was answered. Raises ResponseNotFound."""
        response: Json = json.loads(self._chain(owner, response_id)[-1].response)
        return response

    def input_of(self, owner: str | None, response_id: str) -> list[Json]:
        """Return a response's input items: the stored conversation before it, then the items of its own request."""
        *earlier, last = self._chain(owner, response_id)
        return [*_items_in(earlier), *json.loads(last.input)]

    def items_of(self, owner: str | None, response_id: str) -> list[Json]:
        """Return the items of a response's own request and of its answer; an empty list if it is not stored."""
        return _items_in(self._store.chain(response_id, owner)[-1:])

    def conversation(self, owner: str | None, response_id: str) -> list[Json]:
        """All that was said up to the end of a response. Raises InvalidRequest unless it is kept from its beginning."""
        chain = self._store.chain(response_id, owner)
        missing = chain[0].previous if chain else response_id
        if missing is not None:
            message = f"Previous response with id '{missing}' not found."
            raise InvalidRequest(message, "previous_response_id", "previous_response_not_found")
        return _items_in(chain)

    def delete(self, owner: str | None, response_id: str) -> None:
        """Raises ResponseNotFound."""
        if not self._store.delete(response_id, owner):
            raise ResponseNotFound(response_id)

    def _chain(self, owner: str | None, response_id: str) -> tuple[SavedResponse, ...]:
        chain = self._store.chain(response_id, owner)
        if not chain:
            raise ResponseNotFound(response_id)
        return chain

    def _retain(self) -> None:
        """Delete the others; what cannot be deleted now is tried again later, and keeps nobody waiting."""
        try:
            self._store.retain(self._clock() - KEPT_SECONDS, self._most, self._most_bytes)
        except FAILURES as error:
            log.error("old responses could not be deleted: %s", error)


def _items_in(chain: Sequence[SavedResponse]) -> list[Json]:
    return [item for saved in chain for item in (*json.loads(saved.input), *json.loads(saved.response)["output"])]

"""The stored responses of /v1/responses with their input, as JSON. Each has an owner and may continue another one."""

from __future__ import annotations

from dataclasses import dataclass

from webapp.store.database import Database

INSERT = """insert into responses (id, owner, previous, created, bytes, input, response)
    values (:id, :owner, :previous, :created, :bytes, :input, :response)"""
CHAIN = """with recursive chain (id, depth) as (
      select id, 0 from responses where id = :id and owner is :owner
      union all
      select previous, depth + 1 from responses join chain using (id) where previous is not null)
    select id, owner, previous, created, input, response from responses join chain using (id) order by depth desc"""
# Keeps the newest responses within the limits, and all that these continue.
RETAIN = """delete from responses where id not in (
    with recursive kept (id) as (
      select id from (
          select id, row_number() over newest as place, sum(bytes) over newest as total from responses
          where created >= :oldest window newest as (order by number desc))
      where place <= :most and total <= :most_bytes
      union
      select previous from responses join kept using (id) where previous is not null)
    select id from kept)"""


@dataclass(frozen=True, slots=True)
class SavedResponse:
    """A row of a response. `input`, the list of items that the client sent, and `response` are JSON texts."""

    id: str
    owner: str | None
    previous: str | None
    created: float
    input: str
    response: str


class ResponseStore:
    def __init__(self, database: Database):
        self._database = database

    def add(self, saved: SavedResponse) -> None:
        with self._database.write() as tx:
            tx.query(
                INSERT,
                id=saved.id,
                owner=saved.owner,
                previous=saved.previous,
                created=saved.created,
                bytes=len(saved.input.encode()) + len(saved.response.encode()),
                input=saved.input,
                response=saved.response,
            )

    def chain(self, response_id: str, owner: str | None) -> tuple[SavedResponse, ...]:
        """The responses that this one continues, as far as they are stored, oldest first, and itself at the end.

        Empty if this owner has no response of this id.
        """
        with self._database.read() as tx:
            return tuple(SavedResponse(**row) for row in tx.query(CHAIN, id=response_id, owner=owner))

    def delete(self, response_id: str, owner: str | None) -> bool:
        """Delete a response; False if this owner has none of this id."""
        statement = "delete from responses where id = :id and owner is :owner returning id"
        with self._database.write() as tx:
            return bool(list(tx.query(statement, id=response_id, owner=owner)))

    def retain(self, oldest: float, most: int, most_bytes: int) -> None:
        with self._database.write() as tx:
            tx.query(RETAIN, oldest=oldest, most=most, most_bytes=most_bytes)

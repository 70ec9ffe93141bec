"""The responses that are kept, as JSON with what was asked. Each may go on from another; whose they are is a name."""

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
# The newest, as many as fit, and all that these go on from.
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
    """`input` and `response` are JSON texts: the list of items that were asked, and what was answered."""

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
        """All that a response goes on from, as far as it is there, and at the end itself; nothing without itself."""
        with self._database.read() as tx:
            return tuple(SavedResponse(**row) for row in tx.query(CHAIN, id=response_id, owner=owner))

    def delete(self, response_id: str, owner: str | None) -> bool:
        """False when there is none of this owner."""
        statement = "delete from responses where id = :id and owner is :owner returning id"
        with self._database.write() as tx:
            return bool(list(tx.query(statement, id=response_id, owner=owner)))

    def retain(self, oldest: float, most: int, most_bytes: int) -> None:
        with self._database.write() as tx:
            tx.query(RETAIN, oldest=oldest, most=most, most_bytes=most_bytes)

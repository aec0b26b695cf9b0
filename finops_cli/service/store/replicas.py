"""The services that share a database, each with a beat that it counts on.

A service is dead when its beat has stood still for a while by the clock of whoever looks. No moment
is compared with that of another machine, so a clock that is set does no harm.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from finops_cli.service.store.database import Connection
from finops_cli.service.store.jobs import JobState, job_number, jobs_in, update_job

_RUNNING: tuple[JobState, ...] = ("in_progress", "finalizing", "cancelling")


class Replica(Struct, frozen=True, kw_only=True):
    """A service that uses the database."""

    id: str
    """New at each start."""
    name: str
    """Its machine and its port."""
    began: str
    """The moment of its start, by its own clock."""
    rules: str
    """The settings that its answers depend on."""
    beat: int
    sample: dict[str, Any]
    """Its last figures."""


def register(connection: Connection, replica: Replica) -> None:
    """Add a service. An earlier one of its name is gone: the name is locked."""
    connection.execute("DELETE FROM replicas WHERE name = ?", (replica.name,))
    connection.execute(
        "INSERT INTO replicas VALUES (?, ?, ?, ?, ?, ?)",
        (replica.id, replica.name, replica.began, replica.rules, replica.beat, "{}"),
    )


def beat(connection: Connection, id: str, sample: Mapping[str, Any]) -> bool:
    """Count on, with the figures of now. Return false where others took the service for dead."""
    result = connection.execute(
        "UPDATE replicas SET beat = beat + 1, sample = ? WHERE id = ?",
        (json.dumps(dict(sample)), id),
    )
    return result.rowcount == 1


def leave(connection: Connection, id: str) -> None:
    """Take a service that stops from the list."""
    connection.execute("DELETE FROM replicas WHERE id = ?", (id,))


def bury(connection: Connection, id: str, last_beat: int) -> bool:
    """Take a dead service from the list, unless it has counted on meanwhile."""
    result = connection.execute("DELETE FROM replicas WHERE id = ? AND beat = ?", (id, last_beat))
    return result.rowcount == 1


def list_replicas(connection: Connection) -> list[Replica]:
    """Return the services that use the database, by their names."""
    rows = connection.execute("SELECT * FROM replicas ORDER BY name")
    return [Replica(**{**dict(row), "sample": json.loads(row["sample"])}) for row in rows]


def release_jobs(connection: Connection, at: str) -> int:
    """Let the jobs of services that are gone go on elsewhere; return how many there are."""
    alive = {row["id"] for row in connection.execute("SELECT id FROM replicas")}
    running = jobs_in(connection, *_RUNNING)
    left = [job for job in running if owner_of(connection, job.id) not in alive]
    for job in left:
        if job.state == "cancelling":
            update_job(connection, job.id, state="cancelled", ended=at, owner=None)
        else:
            update_job(connection, job.id, state="interrupted", owner=None)
    return len(left)


def owner_of(connection: Connection, job: str) -> str | None:
    """Return the id of the service that runs a job."""
    row = connection.execute("SELECT owner FROM jobs WHERE seq = ?", (job_number(job),)).fetchone()
    return None if row is None else row["owner"]


def read_fact(connection: Connection, name: str) -> str | None:
    """Return a fact about the database, such as the folder that belongs to it."""
    row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return None if row is None else row["value"]


def keep_fact(connection: Connection, name: str, value: str) -> None:
    """Keep a fact that is not known yet."""
    connection.execute("INSERT INTO facts VALUES (?, ?)", (name, value))

"""Two services on one PostgreSQL: what one leaves, the other goes on with."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from finops_cli.service.store.opening import snapshot
from finops_cli.service.store.replicas import list_replicas, owner_of
from tests.service.conftest import TOKENS, Server, start, stop
from tests.service.test_deployment import free_port
from tests.service.test_fails import fails
from tests.service.test_jobs import MONDAY, begin, finish, many, upload
from tests.support.lossy_postgres import LossyPostgres
from tests.support.own_kb import change_kb
from tests.support.postgres import Postgres
from tests.support.program import ROOT, Finops, call_finops
from tests.support.soak import scaled

pytestmark = pytest.mark.slow
GUIDE = ROOT / "docs/guide/replicas.md"


def replica(folder: Path, store: str, *options: str, **more: Any) -> Server:
    """Start one more service on the database and the folder."""
    return start(folder, "--guard", "off", *options, store=store, **more)


@pytest.fixture(scope="module")
def quick_kb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rules by which a replica that does not count is dead after 12 seconds."""
    given, quick = "beat = 5, lease = 30", "beat = 1, lease = 12"
    return change_kb(tmp_path_factory.mktemp("rules"), "serve.toml", given, quick)


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres
) -> Iterator[tuple[str, list[Server]]]:
    """A database, and two replicas on it."""
    store, folder = postgres.create(), tmp_path_factory.mktemp("pair")
    servers = [replica(folder, store) for _ in range(2)]
    yield store, servers
    for server in servers:
        stop(server)


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds."""
    for _ in range(int(seconds * 10)):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError


def name_of(server: Server, store: str) -> str:
    """Return the id of a service among the replicas."""
    port = server.url.rpartition(":")[2]
    with snapshot(store) as connection:
        found = [each for each in list_replicas(connection) if each.name.endswith(f"-{port}")]
    return found[0].id


@contextmanager
def balancer(folder: Path, servers: list[Server], port: int) -> Iterator[str]:
    """Run HAProxy with the block of the page before the servers."""
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        pytest.skip("HAProxy is not installed: apt-get install haproxy")
    block = GUIDE.read_text().split("```text\n")[1].split("```")[0]
    changes = [("bind :443 ssl crt /etc/haproxy/desk.pem", f"bind 127.0.0.1:{port}")]
    changes += [("desk.example", f"127.0.0.1:{port}")]
    for number, server in enumerate(servers, start=1):
        changes.append((f"10.0.0.{number}:8765", server.url.removeprefix("http://")))
    for old, new in changes:
        assert old in block
        block = block.replace(old, new)
    config = folder / "haproxy.cfg"
    config.write_text(block)
    running = subprocess.Popen([program, "-db", "-q", "-f", str(config)])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait()


class Deciding(threading.Thread):
    """Comments on fails through the proxy until it has to end; each until it is acknowledged.

    A request without an answer is sent again under its key.
    """

    def __init__(self, url: str, named: list[str], name: str, end: threading.Event) -> None:
        super().__init__(daemon=True)
        self.url, self.named, self.word, self.end = url, named, name, end
        self.made: list[str] = []
        self.strange: list[object] = []

    def run(self) -> None:
        number = 0
        headers = {"Authorization": f"Bearer {TOKENS['analyst']}"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=30) as client:
            while not self.end.is_set():
                number += 1
                fail = self.named[hash((self.word, number)) % len(self.named)]
                self._decide(client, fail, f"{self.word}-{number}")

    def _decide(self, client: httpx.Client, fail: str, word: str) -> None:
        body, key = {"kind": "comment", "comment": word}, {"Idempotency-Key": word}
        while True:
            try:
                answer = client.post(f"/v1/fails/{fail}/decisions", json=body, headers=key)
            except httpx.HTTPError:
                time.sleep(0.05)
                continue
            if answer.status_code == 201:
                self.made.append(word)
                time.sleep(0.1)
                return
            if answer.status_code not in (409, 502, 503, 504):
                self.strange.append((answer.status_code, answer.text))
                return
            time.sleep(0.05)


def test_killed_replica_loses_nothing(
    tmp_path: Path, postgres: Postgres, finops: Finops, quick_kb: Path
) -> None:
    """Behind HAProxy with 32 clients, one of two replicas is killed: each acknowledged decision is
    there once, the other replica finishes its job with equal bytes, and the chain is unbroken.
    """
    store, port, given = postgres.create(), free_port(), many(30_000)
    allow = ("--allow-host", f"127.0.0.1:{port}")
    servers = [replica(tmp_path, store, *allow, kb=quick_kb) for _ in range(2)]
    names = {name_of(server, store): server for server in servers}
    end = threading.Event()
    with balancer(tmp_path, servers, port) as url:
        with servers[0].client("operator") as client:
            finish(client, begin(client, "run", upload(client, many(300))))
            named = [each["id"] for each in fails(client, limit=300)]
            workers = [Deciding(url, named, f"c{n}", end) for n in range(32)]
            for worker in workers:
                worker.start()
            job = begin(client, "triage", upload(client, given))
        killed = names[_wait_for_owner(store, job)]
        other = next(server for server in servers if server is not killed)
        with other.client("operator") as client:
            until(lambda: client.get(f"/v1/jobs/{job}").json()["request_counts"]["done"] > 0)
            killed.process.kill()
            killed.process.communicate()
            known = sum(len(worker.made) for worker in workers)
            until(lambda: sum(len(worker.made) for worker in workers) > known + 320, 180)
            end.set()
            for worker in workers:
                worker.join()
            done = finish(client, job)
            output = client.get(f"/v1/jobs/{job}/output").content
    assert [each for worker in workers for each in worker.strange] == []
    with other.client("admin") as client:
        made = [
            each for fail in named for each in client.get(f"/v1/fails/{fail}").json()["decisions"]
        ]
        verdict = client.get("/v1/audit/verify").json()
    stop(other)
    words = [each["content"]["comment"] for each in made]
    acknowledged = [each for worker in workers for each in worker.made]
    assert len(words) == len(set(words))
    assert set(acknowledged) <= set(words)
    assert len(acknowledged) > 32
    assert verdict["ok"], verdict
    assert (done["state"], done["request_counts"]["done"]) == ("completed", 30_000)
    assert done["attempts"] > 1
    local = finops("--kb", quick_kb, "triage", "-", "--no-timing", "-q", stdin=given)
    assert output == local.stdout


def _wait_for_owner(store: str, job: str) -> str:
    found: list[str | None] = [None]

    def has_owner() -> bool:
        with snapshot(store) as connection:
            found[0] = owner_of(connection, job)
        return found[0] is not None

    until(has_owner)
    return str(found[0])


def test_job_is_cancelled_from_another_replica(pair: tuple[str, list[Server]]) -> None:
    """A replica that does not run a job cancels it all the same."""
    store, servers = pair
    names = {name_of(server, store): server for server in servers}
    with servers[0].client("operator") as client:
        job = begin(client, "triage", upload(client, many(scaled(40_000, 200_000))))
    owner = names[_wait_for_owner(store, job)]
    other = next(server for server in servers if server is not owner)
    with other.client("operator") as client:
        assert client.post(f"/v1/jobs/{job}/cancel").json()["state"] == "cancelling"
        assert finish(client, job)["state"] == "cancelled"


def test_restarted_database_is_waited_for(tmp_path: Path) -> None:
    """While the database is away a request gets 503 and the service is not ready; when it is back,
    both go on, and so does the job that runs.
    """
    from tests.support.postgres import running_postgres

    with running_postgres() as database:
        server, count = replica(tmp_path, database.create()), scaled(10_000, 40_000)
        with server.client("operator") as client:
            job = begin(client, "triage", upload(client, many(count)))
            database.stop("immediate")
            until(lambda: client.get("/readyz").json().get("missing") == ["store"])
            refused = client.get("/v1/jobs")
            assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
            assert client.post("/v1/triage", json={}).status_code == 422
            database.start()
            until(lambda: client.get("/readyz").json()["ready"])
            done = finish(client, job)
            assert (done["state"], done["request_counts"]["done"]) == ("completed", count)
        with server.client("admin") as client:
            assert client.get("/v1/audit/verify").json()["ok"]
        stop(server)
        assert server.process.returncode == 0


def test_job_taken_without_an_answer_runs(tmp_path: Path, postgres: Postgres) -> None:
    """A service that took a job, and lost the database while it committed that, runs the job."""
    taking = b"UPDATE jobs SET state = $1, owner = $2, started"
    with LossyPostgres(postgres.folder, taking) as lossy:
        server = replica(tmp_path, lossy.address(postgres.create()))
        with server.client("operator") as client:
            job = begin(client, "triage", upload(client, MONDAY))
            assert lossy.has_lost.wait(60)
            done = finish(client, job)
        assert (done["state"], done["attempts"]) == ("completed", 1)
        stop(server)


def test_database_that_hangs_holds_up_no_answer(tmp_path: Path) -> None:
    """A database that is stopped in the middle makes the service not ready. Nobody's token can be
    read then, so requests are refused at once, until the database answers again.
    """
    from tests.support.postgres import running_postgres

    with running_postgres() as database:
        server = replica(tmp_path, database.create())
        with server.client("analyst") as client:
            database.signal(signal.SIGSTOP)
            until(lambda: client.get("/readyz").json().get("missing") == ["store"])
            assert client.get("/healthz").status_code == 200
            until(lambda: client.post("/v1/triage", json={}).status_code == 503)
            database.signal(signal.SIGCONT)
            until(lambda: client.get("/readyz").json()["ready"])
            until(lambda: client.post("/v1/triage", json={}).status_code == 422)
        stop(server)


def test_database_without_changes_is_told(tmp_path: Path, postgres: Postgres) -> None:
    """A database that takes no changes, as a standby does, gives 503 for what would change it."""
    store = postgres.create()
    server = replica(tmp_path, store)
    with server.client("operator") as client:
        upload(client, MONDAY)
        postgres.run_sql(store, "ALTER SYSTEM SET default_transaction_read_only = on")
        try:
            postgres.run_sql(store, "SELECT pg_reload_conf()")
            until(lambda: client.get("/readyz").json().get("missing") == ["store"])
            assert client.get("/v1/files").status_code == 200
            refused = client.post("/v1/files", content=MONDAY)
            assert refused.status_code == 503, refused.text
        finally:
            postgres.run_sql(
                store,
                "SET default_transaction_read_only = off",
                "ALTER SYSTEM RESET default_transaction_read_only",
                "SELECT pg_reload_conf()",
            )
        until(lambda: client.get("/readyz").json()["ready"])
        upload(client, MONDAY)
    stop(server)


def test_session_holds_on_every_replica(pair: tuple[str, list[Server]]) -> None:
    """A browser that signed in at one replica is known to the other, and signs out at both."""
    _, servers = pair
    form = {"token": TOKENS["analyst"], "next": "/"}
    own = {"Sec-Fetch-Site": "same-origin"}
    one, two = (httpx.Client(base_url=each.url, timeout=60) for each in servers)
    with one, two:
        assert one.post("/sign-in", data=form, headers=own).status_code == 303
        two.cookies = one.cookies
        assert two.get("/").status_code == 200
        assert one.post("/sign-out", headers=own).status_code == 303
        until(lambda: two.get("/").status_code == 401, 10)


def test_replica_with_other_rules_is_refused(tmp_path: Path, postgres: Postgres) -> None:
    """Answers must not depend on which replica gives them."""
    store = postgres.create()
    server = replica(tmp_path, store)
    with pytest.raises(AssertionError, match="answers by"):
        start(tmp_path, "--guard", "off", "--four-eyes", store=store)
    stop(server)
    stop(start(tmp_path, "--guard", "off", "--four-eyes", store=store))


def test_replica_with_another_folder_is_refused(
    tmp_path: Path, postgres: Postgres, quick_kb: Path
) -> None:
    """The files of all replicas are in one folder, and a folder belongs to one database."""
    store = postgres.create()
    server = replica(tmp_path, store, kb=quick_kb)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with pytest.raises(AssertionError, match="not the folder of this database"):
        replica(elsewhere, store, kb=quick_kb)
    with pytest.raises(AssertionError, match="not the folder of this database"):
        replica(tmp_path, postgres.create(), kb=quick_kb)
    stop(server)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql://finops:hush%2Fhush@127.0.0.1:1/finops", "Connection refused"),
        ("postgresql://finops:hush%zz@127.0.0.1:1/finops", "not the address"),
        ("mysql://finops:hush@127.0.0.1/finops", "not the address"),
    ],
)
def test_password_is_in_no_message(address: str, said: str, tmp_path: Path) -> None:
    """A database that cannot be used is named, and its password is not."""
    options = ("--port", "0", "--data", str(tmp_path), "--guard", "off")
    done = call_finops("serve", *options, "--store", address)
    assert done.returncode in (2, 3)
    assert said in done.stderr.decode()
    assert b"hush" not in done.stderr + done.stdout

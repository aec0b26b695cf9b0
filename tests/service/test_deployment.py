"""The files of deploy/: what they start exists, and the proxy passes streams through."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.service.conftest import TOKENS, Server, start, stop
from tests.support.program import ROOT, Finops
from tests.support.records import a_fail, jsonl

DEPLOY = ROOT / "deploy"
FILES = ("Containerfile", "finops.service", "nginx.conf", "Caddyfile")


@pytest.mark.parametrize("name", FILES)
def test_options_of_deployment_files_exist(name: str, finops: Finops) -> None:
    """Each option of finops serve that a file names is one that it has."""
    text = (DEPLOY / name).read_text()
    known = set(re.findall(r"--[a-z-]+", finops("serve", "--help").stdout.decode()))
    calls = re.findall(r"finops(?:\", \"|\s)serve([^\n]*(?:\\\n#[^\n]*)*)", text)
    named = set(re.findall(r"(?<=\s)--[a-z-]+|(?<=\")--[a-z-]+", " ".join(calls)))
    assert calls
    assert named <= known


def test_container_runs_without_rights_and_stops_in_time() -> None:
    """The container has a user of its own and the signal that finops serve stops by."""
    text = (DEPLOY / "Containerfile").read_text()
    assert re.search(r"^USER finops$", text, re.MULTILINE)
    assert re.search(r"^STOPSIGNAL SIGTERM$", text, re.MULTILINE)


@pytest.mark.slow
def test_unit_is_verified_by_systemd(tmp_path: Path) -> None:
    """systemd accepts the unit, with a program that exists in its place."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DEPLOY / "finops.service").read_text()
    unit = tmp_path / "finops.service"
    unit.write_text(text.replace("/opt/finops/bin/finops", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_certificate(folder: Path) -> None:
    """Make `cert.pem`, `key.pem`, and `both.pem` with the two."""
    subject = ["-subj", "/CN=desk.example", "-addext", "subjectAltName=DNS:desk.example"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    subprocess.run([*make, *subject, *files], check=True, capture_output=True)
    both = (folder / "cert.pem").read_text() + (folder / "key.pem").read_text()
    (folder / "both.pem").write_text(both)


def replace_all(block: str, *changes: tuple[str, str]) -> str:
    """Return `block` with each change made; each must be needed."""
    for old, new in changes:
        assert old in block
        block = block.replace(old, new)
    return block


def run_nginx(program: str, folder: Path, port: int, upstream: str) -> list[str]:
    """Write a configuration around the block of deploy/, and return the command."""
    block = replace_all(
        (DEPLOY / "nginx.conf").read_text(),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/ssl/desk.example.pem", str(folder / "cert.pem")),
        ("/etc/ssl/desk.example.key", str(folder / "key.pem")),
        ("127.0.0.1:8765", upstream),
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log;\nevents {{}}\n"
        f"http {{ access_log off;\n{temporary}{block}}}\n"
    )
    return [program, "-p", str(folder), "-c", str(config)]


def run_caddy(program: str, folder: Path, port: int, upstream: str) -> list[str]:
    """Write the block of deploy/ with a certificate of its own, and return the command."""
    site = f"https://desk.example:{port} {{\n\ttls {folder}/cert.pem {folder}/key.pem"
    block = replace_all(
        (DEPLOY / "Caddyfile").read_text(),
        ("desk.example {", site),
        ("127.0.0.1:8765", upstream),
    )
    config = folder / "Caddyfile"
    config.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + block)
    return [program, "run", "--adapter", "caddyfile", "--config", str(config)]


def run_haproxy(program: str, folder: Path, port: int, upstream: str) -> list[str]:
    """Write the block of the page about replicas, with one service, and return the command."""
    page = (ROOT / "docs" / "guide" / "replicas.md").read_text()
    block = replace_all(
        page.split("```text\n")[1].split("```")[0],
        (
            "bind :443 ssl crt /etc/haproxy/desk.pem",
            f"bind 127.0.0.1:{port} ssl crt {folder}/both.pem",
        ),
        ("    server second 10.0.0.2:8765\n", ""),
        ("10.0.0.1:8765", upstream),
    )
    config = folder / "haproxy.cfg"
    config.write_text(block)
    return [program, "-db", "-q", "-f", str(config)]


PROXIES = {"nginx": run_nginx, "caddy": run_caddy, "haproxy": run_haproxy}
SPOOFED = "192.0.2.66"


@contextmanager
def proxied(name: str, folder: Path, server: Server) -> Iterator[httpx.Client]:
    """Run a proxy before `server`, and open a client of an operator that goes through it."""
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if program is None or shutil.which("openssl") is None:
        pytest.skip(f"{name} and openssl are not installed")
    make_certificate(folder)
    port = free_port()
    command = PROXIES[name](program, folder, port, server.url.removeprefix("http://"))
    home = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(folder))
    with (folder / "proxy.log").open("w") as log:
        proxy = subprocess.Popen(command, env=os.environ | home, stdout=log, stderr=log)
    trusted = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    trusted.check_hostname = False
    headers = {"Authorization": f"Bearer {TOKENS['operator']}", "Host": "desk.example"}
    url = f"https://127.0.0.1:{port}"
    try:
        with httpx.Client(
            base_url=url,
            verify=trusted,
            timeout=60,
            headers={**headers, "Content-Type": "application/jsonl", "X-Forwarded-For": SPOOFED},
            event_hooks={"request": [_name_host]},
        ) as client:
            _wait_for(client, proxy)
            yield client
    finally:
        proxy.terminate()
        proxy.wait()


def _name_host(request: httpx.Request) -> None:
    """Name the host in the handshake too: Caddy chooses the certificate by it."""
    request.extensions["sni_hostname"] = "desk.example"


def _wait_for(client: httpx.Client, proxy: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while proxy.poll() is None and time.monotonic() < until:
        try:
            if client.get("/healthz").status_code == 200:
                return
        except httpx.ConnectError:
            pass
        time.sleep(0.05)
    raise AssertionError("the proxy does not answer")


@pytest.mark.slow
@pytest.mark.parametrize("name", PROXIES)
def test_proxy_passes_streams_and_uploads(name: str, tmp_path: Path) -> None:
    """Through each proxy of the documentation a stream gets every line, an upload is stored whole,
    one over the limit gets 413, and the address that a client claims for itself is not believed.
    """
    options = ("--behind-proxy", "127.0.0.1", "--allow-host", "desk.example")
    server = start(tmp_path, "--guard", "off", *options)
    given = jsonl(*(a_fail(fail_id=f"F-{number}") for number in range(5_000)))
    try:
        with proxied(name, tmp_path, server) as client:
            answer = client.post("/v1/triage", content=given)
            assert len(answer.content.splitlines()) == 5_000
            stored = client.post("/v1/files", content=iter([given]))
            assert stored.json()["lines"] == 5_000
            assert client.post("/v1/triage", content=b"x" * 70_000_000).status_code == 413
            wrong = {"Authorization": "Bearer wrong"}
            assert client.get("/v1/models", headers=wrong).status_code == 401
        with server.client("auditor") as auditor:
            entries = auditor.get("/v1/audit", params={"limit": 1_000}).json()
        addresses = {each["details"].get("address") for each in entries}
        assert "127.0.0.1" in addresses
        assert SPOOFED not in addresses
    finally:
        stop(server)

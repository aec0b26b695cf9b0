"""Makes the pictures of the desk in docs/images: `python -m tools.desk_pictures`.

Needs the extras `serve` and `browser`, and Debian's chromium. The blotter is examples/monday.jsonl
among seeded fails, so that the pictures change only where the pages do.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.blotters import write_blotter
from finops_cli.service.auth.tokens import new_owner, token_entry, utc_now

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
TOKEN = "fop_of-the-pictures"  # noqa: S105 - of a service that lives for seconds
BROKEN = b'{"fail_id": "F-1009", "cusip": 1}\n'
PICTURES = {"desk-today": "/", "desk-queue": "/fails", "desk-fail": "/fails/F-1001"}
FAILS, SEED, GONE = 360, 11, 12
WIDTH, HEIGHT = 1280, 860
AS_OF = "2026-11-30"
DECISIONS: dict[str, dict[str, str]] = {
    "F-1003": {"kind": "assign", "assignee": "anna"},
    "F-1008": {"kind": "accept"},
}


@contextmanager
def run_service(folder: Path) -> Iterator[str]:
    """Run a service with two blotters and some decisions; yield its address."""
    tokens = folder / "tokens.toml"
    tokens.write_text(token_entry(new_owner(TOKEN, "anna", "admin", utc_now(), 1)))
    tokens.chmod(0o600)
    command = [sys.executable, "-m", "finops_cli", "serve", "--port", "0", "--quiet"]
    command += ["--data", str(folder / "data"), "--tokens", str(tokens)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603 - finops itself
    try:
        if process.stdout is None:
            raise SystemExit("the service has no output")
        url = process.stdout.readline().split()[1]
        fill(url, folder / "blotter.jsonl")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def fill(url: str, blotter: Path) -> None:
    """Run two jobs, the second a day later with some fails new and some gone; decide a little."""
    write_blotter(blotter, FAILS, SEED)
    fails = [json.loads(line) for line in blotter.read_bytes().splitlines()]
    usable = [fail for fail in fails if fail["cns_direction"] != "FTR"]
    today = [json.dumps(fail).encode() + b"\n" for fail in usable]
    friday = [
        json.dumps({**fail, "age_days": max(0, fail["age_days"] - 3)}).encode() + b"\n"
        for fail in usable
    ]
    monday = (ROOT / "examples" / "monday.jsonl").read_bytes() + BROKEN
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        run_job(client, b"".join(friday[GONE:]))
        run_job(client, monday + b"".join(today[:-GONE]))
        for fail, decision in DECISIONS.items():
            client.post(f"/v1/fails/{fail}/decisions", json=decision).raise_for_status()


def run_job(client: httpx.Client, content: bytes) -> None:
    """Run a job on `content`, and wait for its end."""
    media_type = {"Content-Type": "application/jsonl"}
    file = client.post("/v1/files", content=content, headers=media_type).raise_for_status().json()
    body = {"command": "run", "input": file["id"], "options": {"as_of": AS_OF}}
    job = client.post("/v1/jobs", json=body).raise_for_status().json()
    while job["state"] not in ("completed", "failed"):
        time.sleep(0.2)
        job = client.get(f"/v1/jobs/{job['id']}").raise_for_status().json()


def take_pictures(playwright: Any, url: str, folder: Path) -> None:
    """Write a picture of each page into `folder`."""
    chromium = shutil.which("chromium")
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    context = browser.new_context(
        base_url=url,
        viewport={"width": WIDTH, "height": HEIGHT},
        color_scheme="light",
        locale="en-US",
        timezone_id="America/New_York",
    )
    page = context.new_page()
    page.goto(f"/?token={TOKEN}")
    for name, path in PICTURES.items():
        page.goto(path)
        page.screenshot(path=folder / f"{name}.png")
        print(folder / f"{name}.png")
    browser.close()


def main() -> None:
    """Start a service, and take the pictures."""
    from playwright.sync_api import sync_playwright

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    with (
        tempfile.TemporaryDirectory() as data,
        run_service(Path(data)) as url,
        sync_playwright() as playwright,
    ):
        take_pictures(playwright, url, folder)


if __name__ == "__main__":
    main()

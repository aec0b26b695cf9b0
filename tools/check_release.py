"""Check that a tag may be released: it names the version, and the changelog dates it.

Usage: check_release.py vX.Y.Z
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def find_faults(tag: str, version: str, changelog: str) -> list[str]:
    """Return why `tag` may not be released."""
    faults = []
    if tag != f"v{version}":
        faults.append(f"the tag is {tag}, finops_cli/version.py says {version}; tag v{version}")
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d{{2}}-\d{{2}}$"
    if not re.search(heading, changelog, flags=re.MULTILINE):
        faults.append(
            f"CHANGELOG.md has no heading '## [{version}] - YYYY-MM-DD'; date the version"
        )
    if re.search(r"^## \[Unreleased\]\n+### ", changelog, flags=re.MULTILINE):
        faults.append("CHANGELOG.md has unreleased changes; move them under the version")
    return faults


def main(arguments: list[str]) -> int:
    """Print the faults; return 1 if there are any."""
    version = re.findall(r'__version__ = "(.+)"', (ROOT / "finops_cli/version.py").read_text())[0]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    faults = find_faults(arguments[0], version, changelog)
    for fault in faults:
        sys.stderr.write(f"release: {fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

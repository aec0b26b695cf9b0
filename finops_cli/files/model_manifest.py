"""Compare model files with the manifests beside them, which `finops quantize` writes.

llama.cpp and Ollama notice a file that is cut off, but not a byte that was changed in its weights:
such a file becomes a model whose answers are wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from finops_cli.domain import exact_json
from finops_cli.errors import UsageError

_ENDING = ".manifest.json"
_MOST_BYTES = 4 * 1024 * 1024
_MOST_MANIFESTS = 200


def refuse_changed_file(path: Path, sha256: str, on_warning: Callable[[str], None]) -> None:
    """Raise UsageError if a manifest beside the file at `path` records another digest for it.

    `sha256` is the file's own, in hexadecimal digits. A manifest named like the file counts, and
    each that lists a file of its name. One that cannot be read is reported with `on_warning`.
    """
    for manifest in _manifests(path):
        try:
            recorded = _recorded(manifest, path)
        except (OSError, ValueError) as error:
            on_warning(f"{manifest}: cannot be read ({error}), so {path.name} was not compared")
            continue
        if recorded and sha256 not in recorded:
            expected = " or ".join(digest[:12] for digest in sorted(recorded))
            raise UsageError(
                f"{path}: its SHA-256 begins with {sha256[:12]}, and {manifest.name} beside it"
                f" records {expected}; the file was changed after it was made",
                "copy or quantize it again; if you changed it yourself, move the manifest away",
            )


def _manifests(path: Path) -> Iterator[Path]:
    found = sorted(path.parent.glob(f"*{_ENDING}"))[:_MOST_MANIFESTS]
    return (manifest for manifest in found if manifest.is_file())


def _recorded(manifest: Path, path: Path) -> set[str]:
    """Read the digests that `manifest` has for the file at `path`.

    Raises ValueError if it is not a manifest. A file may have been renamed after its manifest, so
    in one with the name of the file each output counts.
    """
    if manifest.stat().st_size > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES:,} bytes")
    outputs = _outputs(exact_json.decode(manifest.read_bytes()))
    same_name = {digest for name, digest in outputs if name == path.name}
    is_own = manifest.name.removesuffix(_ENDING) == path.stem
    return same_name or ({digest for _, digest in outputs} if is_own else set())


def _outputs(content: Any) -> list[tuple[str, str]]:
    outputs = content.get("outputs") if isinstance(content, dict) else None
    if not isinstance(outputs, list) or not all(isinstance(each, dict) for each in outputs):
        raise ValueError("it lists no outputs")
    return [(str(each.get("name")), str(each.get("sha256")).lower()) for each in outputs]

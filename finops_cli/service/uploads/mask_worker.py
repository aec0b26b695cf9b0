"""The process that masks the lines of uploads: frames in, frames out, until its input ends.

A frame in is its length (4 bytes) and whole lines. A frame out is the number of lines in which
something was masked (4 bytes), the length (4 bytes) and the lines.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import BinaryIO, cast, get_args

from finops_cli.domain.enums import GuardMode
from finops_cli.kb.load import load_kb
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.pipeline.redaction import RedactionPolicy, redaction_policy
from finops_cli.service.uploads.masking import mask_line

IN = struct.Struct(">I")
OUT = struct.Struct(">II")


def mask_lines(policy: RedactionPolicy, lines: bytes, kb: KnowledgeBase) -> tuple[bytes, int]:
    """Return the lines of a frame, masked, and in how many something was masked."""
    parts = lines.split(b"\n")
    masked = [mask_line(policy, part, kb) for part in parts]
    changed = sum(one is not other for one, other in zip(parts, masked, strict=True))
    return b"\n".join(masked), changed


def answer_frames(
    policy: RedactionPolicy, kb: KnowledgeBase, given: BinaryIO, out: BinaryIO
) -> None:
    """Answer each frame of `given`, until it ends."""
    while len(head := given.read(IN.size)) == IN.size:
        [length] = IN.unpack(head)
        masked, changed = mask_lines(policy, given.read(length), kb)
        out.write(OUT.pack(changed, len(masked)) + masked)
        out.flush()


def main(kb_dir: str, mode: str) -> None:
    """Answer the frames of stdin on stdout."""
    kb = load_kb(Path(kb_dir))
    if mode not in get_args(GuardMode):
        raise ValueError(mode)
    policy = redaction_policy(cast("GuardMode", mode), True, kb)
    if policy is not None:
        answer_frames(policy, kb, sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main(*sys.argv[1:])

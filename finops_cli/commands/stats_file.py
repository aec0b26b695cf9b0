"""The file of `--stats-json`: refuse what it must not overwrite."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from finops_cli.errors import UsageError

if TYPE_CHECKING:
    from finops_cli.pipeline.run import RunConfig


def refuse_stats(stats: Path | None, config: RunConfig) -> None:
    """Raises UsageError when the statistics would overwrite a file of the run, or a stream."""
    from finops_cli.files.safe_io import refuse_unwritable
    from finops_cli.pipeline.resume import note_path
    from finops_cli.pipeline.run import read_files, settings_files

    if stats is None:
        return
    _refuse_streams(stats)
    written = [config.output, None if config.made is None else config.made.target]
    notes = [note_path(path) for path in written if path is not None]
    read = [*read_files(config), *written, *notes, *settings_files(config)]
    refuse_unwritable(stats, read, "--stats-json")


def _refuse_streams(stats: Path) -> None:
    """Raises UsageError when the statistics would overwrite stdout or the file behind stderr."""
    if str(stats) == "-":
        raise UsageError("--stats-json -: stdout is for the lines", "give a file")
    for stream, number in (("stdout", 1), ("stderr", 2)):
        try:
            same = os.path.samestat(os.fstat(number), stats.stat())
        except OSError:  # closed, or not there yet
            continue
        if same and (number == 1 or stats.is_file()):
            raise UsageError(f"--stats-json {stats}: {stream} goes there", "give another file")

"""A fault of the program, told without its traceback."""

from __future__ import annotations

from finops_cli.domain.finding import Finding

INTERNAL = "internal.error"


def fault_finding(error: Exception, path: str = "") -> Finding:
    """Describe an exception that one record raised, for its line.

    The message names the type and the place. The text of the exception may quote the record, so it
    is left out.
    """
    name = type(error).__name__
    return Finding(
        rule=INTERNAL,
        path=path,
        expected=None,
        actual=name,
        message=f"finops has a fault ({name} at {fault_place(error)}); please report it as a bug",
    )


def fault_place(error: BaseException) -> str:
    """Return the file and the line of the program where `error` was raised."""
    trace, place = error.__traceback__, "an unknown place"
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename.replace("\\", "/")
        _, package, inner = file.rpartition("finops_cli/")
        if package:
            place = f"{inner}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place

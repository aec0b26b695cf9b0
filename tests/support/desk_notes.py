"""Notes of several clauses as desks write them: personal data, look-alikes and other remarks in any
order.
"""

from __future__ import annotations

from typing import NamedTuple

from finops_cli.datasets.desk_notes import desk_note
from tests.support import look_alikes, personal_data, personal_data_held_out
from tests.support.personal_data import Draw, Planted


class Note(NamedTuple):
    """A note: `masked` is the expected result of the guard for `text`."""

    text: str
    masked: str
    planted: list[Planted]


def note(draw: Draw) -> Note:
    text, masked, found = "", "", []
    for _ in range(draw.randrange(2, 5)):
        mark = draw.choice(("; ", ", ", ". ", " - ", "\n", " "))
        what = draw.choices(("planted", "alike", "talk"), (40, 45, 15))[0]
        if what == "planted":
            made = draw.choice((personal_data.planted, personal_data_held_out.planted))(
                draw, draw.choice(list(personal_data.PLANTED))
            )
            found.append(made)
            text += made.sentence + mark
            masked += made.sentence.replace(made.what, f"[{made.kind}]") + mark
            continue
        alike = draw.choice((look_alikes.look_alike, personal_data_held_out.look_alike))
        clause = (
            desk_note(draw)
            if what == "talk"
            else alike(draw, draw.choice(list(look_alikes.LOOK_ALIKES)))
        )
        text, masked = text + clause + mark, masked + clause + mark
    return Note(text, masked, found)

"""The law's close-out clock: which duty a fail has, and until when (regulatory-clock)."""

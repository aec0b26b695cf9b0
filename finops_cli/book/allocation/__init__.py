"""The best allotment of the sources of one security to its fails: whole numbers, no I/O."""

"""Takes files: a body is streamed to the disk, and the guard reads each line on the way."""

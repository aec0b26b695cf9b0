"""The optional solver packages, imported here alone, with settings under which they are exact."""

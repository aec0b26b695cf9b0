"""Reports of evaluations, as text and as HTML pages."""

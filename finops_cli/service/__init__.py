"""`finops serve`: the pipeline over HTTP, for other systems and for the browser of a desk."""

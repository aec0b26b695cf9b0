"""The pages to look things up in: rules, words, problems, and the API."""

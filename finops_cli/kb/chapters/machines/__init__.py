"""The words of sentences: headlines, letters, and what a model may say."""

"""Write the pages of the documentation that follow from the code and the knowledge base."""

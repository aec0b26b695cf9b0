"""The proof that an allotment is the best one. It is made and checked without a solver."""

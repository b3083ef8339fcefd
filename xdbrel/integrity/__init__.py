"""Finding the orphans of a relation, and what is done about them."""

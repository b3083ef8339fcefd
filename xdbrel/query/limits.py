"""How far the planner goes before it takes another way.

Owns the numbers. They weigh one way against another, and never what a query gives: tests
run with the smallest ones, so that few rows go the ways of many.
"""

#: So few rows or keys are brought without asking whether fewer would do.
FEW = 2_000
#: So few keys are better than any walk for a page.
PAGE_KEYS = 100
#: So many keys of the rest of the query are collected to bring just their rows.
REDUCED = 20_000
#: More keys than these go from one PostgreSQL to another in a form of their own.
MANY = 20_000
#: An index finds the rows of some keys sooner than a look at every row, where there are so many
#: rows for each key.
ROWS_OF_A_KEY = 20
#: Keys are dense where each stands among so many numbers.
DENSE = 64
#: The longest list of keys in a statement of a server that takes no arrays.
LISTED = 5_000

#: The fewest rows that the first step of a walk reads if they are tested.
FIRST_STEP = 100
#: The most rows, or keys, of one step.
STEP = 10_000
#: So many rows are walked before more keys are asked for.
FIRST = 500
#: Where the page seems to need so many rows, more keys still are better.
SLOW = 2_000
#: So many rows are walked whatever comes of it.
PATIENCE = 4_000
#: A walk that seems to become longer is given up.
LONGEST = 50_000

#: The most rows of an answer that is kept in a cache, where it is one value.
KEPT = 10_000

#: The most keys of a block whose places stand in one statement.
PLACES = 500
#: The most keys of a block that are walked.
LONGEST_TOP = 20_000

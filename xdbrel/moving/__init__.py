"""Moving rows from one database to another: ``xdbrel.move`` and what it is made of.

``entry``       what a project calls
``service``     the order of it all: plan, look for collisions, copy, verify, remove
``plan``        which tables have a part in it, in which order, and what refuses
``refusals``    what refuses, and why
``edges``       which plain relations hold the tables together
``generic``     generic relations, and the content types of two databases
``parts``       one table of a move: its rows as they are read, written and deleted
``digests``     a row in a few bytes, the same on every kind of database
``collisions``  what stands at the destination already
``holders``     what holds the keys of a table, and has to follow where they change
``renumber``    new keys for what collides, and for all that points there
``record``      the durable row of a move, and whose it is
``carrying``    copies batches, and brings both ends to the same state again
``decide``      which end is right, of one row
``removal``     the source's rows go, once the destination has them
``abandon``     takes the copies of an unfinished move back
``sequences``   the next key that the destination gives
``result``      what came of it
"""

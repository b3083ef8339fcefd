"""Queries over parted databases, against the same queries in a single one.

The models of ``tests.apps.parted`` live in three databases; in a fourth, ``whole``, are twins of
them with Django's own fields (``twins``), which Django itself joins. Random rows are written to
both sides; a random queryset is run on both and has to bring the same. Of what is drawn, ``rows``
owns the rows, ``graph`` the ways from model to model, ``writer`` the expressions and querysets,
``sizes`` what the planner takes for many, ``both`` the running and the comparison. What is drawn
is Python text, as one would write it: a failure prints lines that ``test_found`` can take as they
are.

XDBREL_ORACLE_EXAMPLES says how many querysets are tried altogether, XDBREL_ORACLE_SEED
which; without it they are the same every time.
"""

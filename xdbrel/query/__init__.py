"""Queries that span databases: what of a query lives elsewhere, and how it gets here.

``hook`` gives Django's queries compilers that notice when a table of theirs lives in another
database; ``compiler`` compiles such a query in parts, ``plan`` decides how each part comes,
and ``shipment`` brings it.
"""

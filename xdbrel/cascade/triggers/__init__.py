"""Triggers: capture of deletes and key changes that the ORM does not see.

They stand on the targets' tables, in the targets' home, and write the same intents that
a ``delete()`` writes, in the same transaction as the rows go.

``captures``   which columns are to be watched for which relations
``row``        what a trigger writes: the columns of an intent
``postgresql`` statement-level triggers with transition tables, partitions included
``mysql``      row-level triggers of MariaDB
``sqlite``     row-level triggers of SQLite
``backends``   which of the three a database has
``install``    triggers made, replaced and removed
``drift``      what stands, against what should
``owning``     deletes of the ORM's own, so that nothing is captured twice
``migrating``  triggers out of the way while xdbrel's own tables change
"""

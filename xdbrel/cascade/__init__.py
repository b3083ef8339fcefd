"""Deletion across databases: planned while Django collects, kept as intents, then applied.

``plan``      what a delete means for other databases; called by Django's ``Collector``
``collector`` what a plan asks of collectors of xdbrel's own
``preview``   what a delete would take, without deleting
``raw_delete`` what bypasses Django's collector, captured
``graph``     facts about what hangs on a model
``verdict``   RESTRICT judged over several databases
``dispatch``  the moment of deletion: intents written, cascades applied now or on commit
``together``  one order of deletion, where all databases are in open transactions
``guard``     what may commit where both sides are in open transactions
``capture``   one intent for what is deleted: the trigger's, or else the ORM's
``intents``   the intent rows: written and settled
``claims``    what relays hold: intents claimed in batches
``apply``     one application: the sources of deleted targets follow
``steps``     the same cut into transactions of bounded size and time
``bulk``      the same by keys alone, where no instance is needed
``relay``     the loop that finishes what is left
``savepoint`` a savepoint that is one on every database
``clock``     the time by which leases and delays run
``horizon``   how far back an open transaction may still reach
``outcome``   what ``delete()`` returns, and waiting for its end
``retry``     what waits made due at once
``triggers``  capture of what the ORM does not see
``key_holders`` which relations hold the values of which fields
``key_watch`` which UPDATE statements change keys that sources hold
``key_changes`` what follows when they do
``atomic``    one block over several databases, targets committed first
"""

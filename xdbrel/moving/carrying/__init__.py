"""Rows from end to end: what is copied, and what brings both ends to the same state again.

``copy``     the order of it, for tables that hang together
``bring``    rows that are new at the destination, to the source
``settle``   a batch that both ends know, to the same state
``fresh``    rows behind the last batch, to the destination
``gone``     what was deleted at one end, at the other
``verify``   what was copied is read back
``guard``    an end that was emptied is taken for no wish
``turns``    rows written again where what they point at was missing
``insert``   rows that the destination does not have
``arrived``  whether rows are where they were written
``state``    a batch at both ends, and what is to be done about it
``blocks``   transactions at one end
``carrier``  what one process needs for all of this
"""

"""Plain relations of other people's apps, made crossing ones by name: ``XDBREL["ADOPT"]``.

A project can declare its own fields anew; not those of an app that it installs, as the admin's
log with its user, or tags on anything. Such a field is changed in place into one of ours, when
the app's ``ready()`` asks for it. Migrations must not learn of it, since they would be written
into that other app: what an adopted field says to them is what was declared. That no
constraint is made for it is for ``constraints``; that names are right, for ``checks``.

``names`` finds fields by their handles and says which can be adopted, ``keys`` changes foreign
keys, ``many`` many-to-many relations, ``generic`` generic ones.
"""

from xdbrel.fields.adoption.keys import AdoptedMixin
from xdbrel.fields.adoption.names import adopt_all, is_ours, named, why_not

__all__ = ["AdoptedMixin", "adopt_all", "is_ours", "named", "why_not"]

"""Makes the steps of scans small in a worker under test (``--include``)."""

from xdbrel.integrity import claims, sources

sources.PAGE = 40
claims.POSITION_SECONDS = 0.0

"""Makes the steps of scans small in a worker under test (``--include``)."""

from xdbrel.integrity.reading import sources
from xdbrel.integrity.scanning import claims

sources.PAGE = 40
claims.POSITION_SECONDS = 0.0

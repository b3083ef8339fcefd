"""Makes the steps of scans small in a worker under test (``--include``)."""

from xdbrel.integrity.reading import sources, tuples
from xdbrel.integrity.scanning import claims

sources.PAGE = tuples.PAGE = 40
claims.POSITION_SECONDS = 0.0

from tests.aliases import aliases

__all__ = ["aliases"]

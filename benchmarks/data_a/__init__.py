"""The data of workload A: users in one database, posts with a few orphans in another."""

"""The data of workload C: users in one database, their posts in another, both in a third."""

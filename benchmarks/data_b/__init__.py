"""The data of workload B: users in one database, their posts in another."""

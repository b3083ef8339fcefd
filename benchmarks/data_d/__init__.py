"""The models of workload D."""

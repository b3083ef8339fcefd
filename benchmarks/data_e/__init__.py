"""The models of workload E."""

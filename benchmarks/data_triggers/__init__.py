"""The models of workload TRIGGERS."""

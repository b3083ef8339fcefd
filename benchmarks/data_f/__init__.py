"""The models and settings of workload F."""

"""The data of workload A once more, in databases of its own, for scans that workers share."""

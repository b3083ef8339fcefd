"""What scans, second looks and repairs ask of the two ends of a relation, and how."""

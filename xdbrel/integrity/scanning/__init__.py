"""What a scan is made of: strategies and the choice of one, findings, leases, load."""

"""What a repair is made of: policies, quarantine, the record of what was done."""

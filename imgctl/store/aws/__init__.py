"""What only AWS has around a bucket: lifecycle rules, batch jobs, inventory reports."""

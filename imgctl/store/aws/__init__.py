"""AWS-only services around a bucket: lifecycle rules, batch jobs, inventory reports, queues."""

"""Photos that a bucket reports: S3 events by SQS or HTTP, taken in by the one ingest."""

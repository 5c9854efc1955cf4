"""Photos that a bucket's events report: S3 events from SQS or over HTTP, taken in as an upload takes files."""

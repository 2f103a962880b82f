"""S3: connections, bucket administration, probes, and the deletion of content, over minio-py."""

"""The S3 protocol in front of the same buckets and objects: signed by access keys, answered in XML."""

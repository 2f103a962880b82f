"""Identities at object stores: the IAM dialect of AWS, SeaweedFS and Ceph; MinIO; none at all (Static)."""

"""The Kubernetes API as the operator uses it: one small client over the asynchronous dynamic client."""

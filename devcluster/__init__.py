"""A real one-node Kubernetes for the demo and the cluster tests, by one command: `python3 -m devcluster up`.

Only the standard library: it runs with the machine's own Python, before anything of this project is installed.
"""

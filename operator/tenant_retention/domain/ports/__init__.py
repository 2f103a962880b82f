"""Ports: what the domain needs of the world, as small Protocols. Adapters implement them; fakes keep the same contracts."""

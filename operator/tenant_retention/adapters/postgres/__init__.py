"""PostgreSQL: connections, servers and roles (administration), and what lies inside a tenant's database. SQL in ``sql/``."""

"""Redis-compatible caches: Valkey 7.2 and later, Redis 7 and later, one server without cluster mode."""

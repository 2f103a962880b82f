"""Rows as typed Parquet files. Importing a module of this package loads pyarrow: do so only where a file is written or read."""

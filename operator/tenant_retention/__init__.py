"""Keeps each tenant's data exactly as long as the law and the contract say."""

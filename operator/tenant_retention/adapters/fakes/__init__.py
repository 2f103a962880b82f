"""In-memory twins of the ports; the same contract tests run on them and on the real adapters."""

"""`make demo`: five customers on a real cluster, a night's run, and a table of expected against actual counts."""

-- name: observe
SELECT retention.observe()

-- name: read_evidence
SELECT retention.read_evidence(%s)

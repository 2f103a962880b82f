-- name: limit_to_requests
SELECT retention.limit_to_requests(%s)

-- name: begin_search
SELECT retention.begin_search(%s, %s)

-- name: find_subjects
SELECT retention.find_subjects(%s, %s, %s)

-- name: find_relatives
SELECT retention.find_relatives(%s, %s)

-- name: subjects_found
SELECT retention.subjects_found(%s)

-- name: work_requests
SELECT retention.work_requests(%s, %s, %s, %s)

-- name: place_request
SELECT retention.place_request(%s, %s, %s, %s, %s, %s)

-- name: request_progress
SELECT retention.request_progress(%s)

-- name: withdraw_request
DELETE FROM retention.request WHERE request_id = %s AND found_at IS NULL

-- name: knows_requests
SELECT to_regproc('retention.place_request') IS NOT NULL

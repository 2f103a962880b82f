module tenant-retention.dev/devcluster/pause

go 1.26.0

module windrow.dev/deploy/pause

go 1.24

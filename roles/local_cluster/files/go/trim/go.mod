// Pins (and, with go.sum, checks) the modules that are cut before they are compiled: see ../README.md.
module stackgate.local/trim

go 1.25.0

require (
	github.com/go-acme/lego/v4 v4.33.0
	github.com/rancher/local-path-provisioner v0.0.30
	sigs.k8s.io/metrics-server v0.9.0
)

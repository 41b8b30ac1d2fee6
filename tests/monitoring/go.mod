module imagetask-operator/tests/monitoring

go 1.26.0

// Only for the CRDs that it carries (tests/waiting/build): nothing of it is built or imported, so `go mod tidy` would
// take it away.
require github.com/prometheus-operator/prometheus-operator v0.85.0

module acr-attach.dev/tools/prometheus-operator

go 1.26.0

// For the definitions in it alone.
require github.com/prometheus-operator/prometheus-operator v0.85.0

module acr-attach.dev/tests/gitops/recordings

go 1.26.0

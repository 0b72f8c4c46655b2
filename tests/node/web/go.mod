module acr-attach.dev/node/web

go 1.26.0

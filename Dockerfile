# The image of the operator: a static program, the certificates of public authorities, and nothing else.
#
# With a program that `make build` has made, nothing is pulled: `make image`.

FROM docker.io/library/rust:1.95-alpine AS build
RUN apk add --no-cache build-base ca-certificates-bundle cmake perl
RUN cargo install --locked --version 0.7.7 cargo-auditable
WORKDIR /source
COPY . .
# The commit that metric acr_attach_build_info names.
ARG REVISION=
# The list of crates goes into the program, where scanners look for it.
RUN ACR_ATTACH_REVISION=$REVISION cargo auditable build --release --locked --bin acr-attach \
 && mkdir -p /image/etc/ssl/certs \
 && cp target/release/acr-attach /image/ \
 && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/

FROM scratch
LABEL org.opencontainers.image.title="acr-attach" \
      org.opencontainers.image.description="Keeps a Kubernetes cluster attached to an Azure Container Registry" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image/ /
USER 65532:65532
ENTRYPOINT ["/acr-attach"]
CMD ["run"]

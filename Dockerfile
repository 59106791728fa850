# One image for all eight roles. ROLE chooses one at run time, with no default.
#
# The two base images are pinned here and nowhere else. Where no registry is
# reachable, both arguments name stand-ins (make image-test).
ARG BUILD_IMAGE=docker.io/library/golang:1.26.8-bookworm
ARG BASE_IMAGE=public.ecr.aws/lambda/provided:al2023

# The compiler runs on the builder's platform and compiles for the target's.
FROM --platform=$BUILDPLATFORM ${BUILD_IMAGE} AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOMODCACHE=/cache/modules GOCACHE=/cache/build

COPY go.mod go.sum ./
RUN --mount=type=cache,target=/cache/modules,id=order-modules \
    go mod download

COPY . .
ARG TARGETARCH=arm64
RUN --mount=type=cache,target=/cache/modules,id=order-modules \
    --mount=type=cache,target=/cache/build,id=order-build \
    GOOS=linux GOARCH=$TARGETARCH go build -trimpath -tags lambda.norpc -ldflags "-s -w" -o /image/var/runtime/bootstrap .

# The authorities that the service trusts: the five roots of Amazon Trust
# Services, from the builder's ca-certificates. AWS asks for all five
# (https://www.amazontrust.com/repository/). Reading the base's 144 authorities
# takes longer than the rest of a first call.
#
# EXTRA_ROOTS holds further ones in PEM, for a Cart API or a proxy whose
# certificate is of another authority:
#   make image EXTRA_ROOTS="$(cat authority.pem)"
ARG EXTRA_ROOTS=
RUN cd /usr/share/ca-certificates/mozilla && \
    cat Amazon_Root_CA_1.crt Amazon_Root_CA_2.crt Amazon_Root_CA_3.crt Amazon_Root_CA_4.crt \
        Starfield_Services_Root_Certificate_Authority_-_G2.crt > /image/var/runtime/roots.pem && \
    printf '%s\n' "$EXTRA_ROOTS" >> /image/var/runtime/roots.pem

# The files' time is the commit's, so that the same commit gives the same layer.
ARG SOURCE_DATE_EPOCH=0
RUN find /image -exec touch -d "@$SOURCE_DATE_EPOCH" {} +

# The base's entrypoint runs /var/runtime/bootstrap: as it is on Lambda, under
# the base's emulator elsewhere. It wants a handler's name, which the binary
# does not use.
FROM ${BASE_IMAGE}
ARG SOURCE=https://github.com/bbws/order-lambda
ARG REVISION=unknown
LABEL org.opencontainers.image.title="order-lambda" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}"
# crypto/x509 would otherwise also read the base's directories of certificates.
ENV SSL_CERT_FILE=/var/runtime/roots.pem SSL_CERT_DIR=/var/empty
COPY --from=build /image/ /
CMD ["bootstrap"]

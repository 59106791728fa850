# One image for all eight roles; which one it is, ROLE says at run time, and there is no default.
#
# The two base images are pinned here and nowhere else. Where no registry is reachable, both arguments name stand-ins
# (make image-test).
ARG BUILD_IMAGE=docker.io/library/golang:1.26.8-bookworm
ARG BASE_IMAGE=public.ecr.aws/lambda/provided:al2023

# The compiler runs on the builder's own platform and makes a binary for the target's.
FROM --platform=$BUILDPLATFORM ${BUILD_IMAGE} AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOMODCACHE=/cache/modules GOCACHE=/cache/build

COPY go.mod go.sum ./
RUN --mount=type=cache,target=/cache/modules,id=order-modules \
    go mod download

COPY . .
ARG TARGETARCH=arm64
ARG SOURCE_DATE_EPOCH=0
# The file's time is the commit's, so that the same commit gives the same layer.
RUN --mount=type=cache,target=/cache/modules,id=order-modules \
    --mount=type=cache,target=/cache/build,id=order-build \
    GOOS=linux GOARCH=$TARGETARCH go build -trimpath -tags lambda.norpc -ldflags "-s -w" -o /image/var/runtime/bootstrap . \
    && find /image -exec touch -d "@$SOURCE_DATE_EPOCH" {} +

# The base's entrypoint runs /var/runtime/bootstrap: on Lambda as it is, elsewhere under the emulator that the base brings.
# It wants the name of a handler, which this binary has no use for.
FROM ${BASE_IMAGE}
ARG SOURCE=https://github.com/bbws/order-lambda
ARG REVISION=unknown
LABEL org.opencontainers.image.title="order-lambda" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image/ /
CMD ["bootstrap"]

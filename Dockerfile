# The operator's image: one static program, CA certificates, and nothing else. For one or more platforms:
#
#   docker buildx build --platform linux/amd64,linux/arm64 .
#
# `make image` builds the same for this machine's platform without a container engine.
FROM --platform=$BUILDPLATFORM rust:1.95.0-bookworm AS build
ARG TARGETARCH
WORKDIR /src
# What it takes to compile for another platform: its triple, its linker, its libc.
RUN case $TARGETARCH in \
      amd64) triple=x86_64-unknown-linux-gnu cross=x86-64-linux-gnu ;; \
      arm64) triple=aarch64-unknown-linux-gnu cross=aarch64-linux-gnu ;; \
      *) echo "there is no image for $TARGETARCH: build for linux/amd64 or linux/arm64" >&2; exit 1 ;; \
    esac; \
    packages=ca-certificates linker=cc; \
    if [ "$TARGETARCH" != "$(dpkg --print-architecture)" ]; then \
      packages="$packages gcc-$cross libc6-dev-$TARGETARCH-cross" linker=$(echo "$cross" | sed 's/x86-64/x86_64/')-gcc; \
    fi; \
    echo "$triple $linker" > /target; \
    apt-get update && apt-get install --yes --no-install-recommends $packages
COPY . .
# Static, so that the image needs no libc; glibc finds names by /etc/hosts and DNS without its plugins.
RUN read -r triple linker < /target \
 && rustup target add "$triple" \
 && export TARGET_CC="$linker" RUSTFLAGS="-C target-feature=+crt-static -C linker=$linker" \
 && cargo build --locked --release --package imagetask-operator --target "$triple" \
 && cp "target/$triple/release/imagetask-operator" /imagetask-operator

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /imagetask-operator /imagetask-operator
USER 65532:65532
ENTRYPOINT ["/imagetask-operator"]

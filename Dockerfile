# One overlay host in a container.
#
#   docker build -t violin .
#   docker run -d --name violin --network host --device /dev/net/tun \
#     --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
#     -v violin:/var/lib/violin violin
#   docker exec violin violin init        # or: violin join TOKEN; then: docker restart violin
#
# Jails are user, process and network namespaces of their own: hence SYS_ADMIN, and no seccomp profile of the
# container's. /dev/net/tun is for the netns driver only.

FROM node:24-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-fund --no-audit
COPY . .
RUN node tools/bundle.ts && npm prune --omit=dev --no-fund --no-audit

FROM node:24-bookworm-slim
RUN apt-get update \
  && apt-get install -y --no-install-recommends user-mode-linux busybox-static bubblewrap iproute2 tini \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/violin
COPY --from=build /src/package.json ./
COPY --from=build /src/dist dist
COPY --from=build /src/config config
COPY --from=build /src/examples examples
COPY --from=build /src/node_modules node_modules
RUN printf '#!/bin/sh\nexec node /opt/violin/dist/violin.js "$@"\n' > /usr/local/bin/violin && chmod +x /usr/local/bin/violin
VOLUME /var/lib/violin
# Mesh, and trunks of up to a hundred VIOLINs.
EXPOSE 4780/tcp 4790-4889/udp
# Until it has an identity it waits for one; after that it is the host. An init reaps what machines leave.
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["sh", "-c", "until [ -e /var/lib/violin/identity/host.json ]; do sleep 1; done; exec violin daemon"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD violin hosts > /dev/null

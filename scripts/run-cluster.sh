#!/usr/bin/env bash
# `make run-cluster`: two of each role on real Kafka, Postgres and a warehouse process, behind one address.
# Starts `scripts/services.sh` if it does not run, and stops what it started itself: the six roles and the proxy.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

FOLDER="$CACHE/services/cluster"
BINARY=${BINARY:-$ROOT/target/release/affilitrack}
export BINARY
PORT=${PORT:-8080}
ROLES=(ingest process serve)
PIDS=()

# shellcheck disable=SC2317 # called by the trap
stop_all() {
    trap - EXIT INT TERM
    local pid
    for pid in "${PIDS[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${PIDS[@]}"; do wait "$pid" 2>/dev/null || true; done
    say "the roles and the proxy are stopped; the services still run (make services-stop)"
}

# free_port: one that nothing listens on.
free_port() {
    node -e 'const s=require("net").createServer();s.listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'
}

# wait_for URL NAME PID: until it answers, or its process has ended.
wait_for() {
    local tries
    for tries in $(seq 1 300); do
        if curl -fsS -m 2 -o /dev/null "$1" 2>/dev/null; then
            say "$2 is ready"
            return
        fi
        kill -0 "$3" 2>/dev/null || break
        sleep 0.2
    done
    tail -n 20 "$FOLDER/$2.log" >&2
    give_up "$2 did not become ready (after $tries looks); its output is in $FOLDER/$2.log"
}

# start_role ROLE NUMBER: on a free port, with a data folder of its own.
start_role() {
    local role=$1 name="$1-$2" port
    port=$(free_port)
    echo "$port" >"$FOLDER/$name.port"
    DATA_DIR="$FOLDER/$name" PORT=$port "$BINARY" "$role" >"$FOLDER/$name.log" 2>&1 &
    PIDS+=($!)
    echo $! >"$FOLDER/$name.pid"
}

# upstream NAME ROLE: the two copies of a role, for the proxy.
upstream() {
    local number
    printf '    upstream %s {\n' "$1"
    for number in 1 2; do printf '        server 127.0.0.1:%s max_fails=1 fail_timeout=1s;\n' "$(<"$FOLDER/$2-$number.port")"; done
    printf '        keepalive 32;\n    }\n'
}

# The proxy: webhooks to the edge, all else to the pages. A try that reached no role goes to the other one.
proxy_configuration() {
    cat <<CONF
daemon off;
pid $FOLDER/proxy.pid;
error_log $FOLDER/proxy.log warn;
worker_processes 1;
events { worker_connections 2048; }
http {
    access_log off;
    client_max_body_size 64m;
    client_body_temp_path $FOLDER/proxy-bodies;
    proxy_temp_path $FOLDER/proxy-answers;
    fastcgi_temp_path $FOLDER/proxy-unused;
    uwsgi_temp_path $FOLDER/proxy-unused;
    scgi_temp_path $FOLDER/proxy-unused;
$(upstream edge ingest)
$(upstream pages serve)
    server {
        listen 127.0.0.1:$PORT;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host \$http_host;
        proxy_set_header X-Forwarded-For \$remote_addr;
        location /webhooks/ { proxy_pass http://edge; }
        location / { proxy_pass http://pages; proxy_buffering off; proxy_read_timeout 1h; }
    }
}
CONF
}

has nginx || install_packages nginx-light
bash scripts/setup.sh
[ "$BINARY" != "$ROOT/target/release/affilitrack" ] || bash scripts/build-release.sh affilitrack
bash scripts/services.sh start
eval "$(bash scripts/services.sh settings)"
mkdir -p "$FOLDER"
export AFFILITRACK_SERVER_PUBLIC_URL="http://127.0.0.1:$PORT"
export AFFILITRACK_SERVER_TRUSTED_PROXIES=127.0.0.1
# One key for all roles: what one of them encrypts the others read.
if [ ! -s "$FOLDER/master.key" ]; then
    (umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$FOLDER/master.key")
fi
AFFILITRACK_MASTER_KEY=$(<"$FOLDER/master.key")
export AFFILITRACK_MASTER_KEY
"$BINARY" migrate

trap stop_all EXIT INT TERM
for role in "${ROLES[@]}"; do
    start_role "$role" 1
    start_role "$role" 2
done
for role in "${ROLES[@]}"; do
    for number in 1 2; do
        wait_for "http://127.0.0.1:$(<"$FOLDER/$role-$number.port")/readyz" "$role-$number" "$(<"$FOLDER/$role-$number.pid")"
    done
done
mkdir -p "$FOLDER/proxy-bodies" "$FOLDER/proxy-answers" "$FOLDER/proxy-unused"
proxy_configuration >"$FOLDER/proxy.conf"
nginx -c "$FOLDER/proxy.conf" -e "$FOLDER/proxy.log" &
PIDS+=($!)
wait_for "http://127.0.0.1:$PORT/healthz" proxy $!
sed -n 's/^Open /Open /p' "$FOLDER/serve-1.log"
wait -n "${PIDS[@]}" || true
give_up "a part ended by itself; see the logs in $FOLDER"

#!/usr/bin/env bash
# A mail server for tests that keeps what it is given as files, under .cache/services/mail.
#
#   scripts/services/mail.sh start     installs what is missing, starts it unless it runs, waits until it answers
#   scripts/services/mail.sh address   prints HOST PORT TLS_PORT, and fails when it does not run
#   scripts/services/mail.sh stop      stops exactly this one; the mail stays
#
# ca.pem in that folder signed its certificate, which is for the name localhost and no other.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../common.sh"
cd "$ROOT"

# Debian's own: a python from elsewhere does not see its packages.
PYTHON=/usr/bin/python3
PROGRAM=scripts/services/mail/server.py
PLACE="$CACHE/services/mail"
PID_FILE="$PLACE/pid"
PORTS_FILE="$PLACE/ports"
ADDRESS_FILE="$PLACE/address"
LOG_FILE="$PLACE/server.log"
START_SECONDS=20
STOP_SECONDS=10

install_server() {
    "$PYTHON" -c 'import aiosmtpd.controller' 2>/dev/null || install_packages python3-aiosmtpd
    has openssl || install_packages openssl
}

is_open() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Two free ports below those that the system hands out, drawn once and kept.
ports() {
    [ -f "$PORTS_FILE" ] && return
    local port
    while :; do
        port=$((20000 + RANDOM % 5000 * 2))
        if ! is_open "$port" && ! is_open $((port + 1)); then
            printf '%s %s\n' "$port" $((port + 1)) >"$PORTS_FILE"
            return
        fi
    done
}

certificate() {
    [ ! -s "$PLACE/server.crt" ] || return 0
    (
        cd "$PLACE"
        cat >sections <<'SECTIONS'
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
[server]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:localhost
SECTIONS
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -config sections \
            -extensions authority -subj '/CN=affilitrack test authority' -keyout ca.key -out ca.pem
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -config sections \
            -extensions server -subj '/CN=localhost' -CA ca.pem -CAkey ca.key -keyout server.key -out server.crt
        rm -f sections ca.key
    ) >"$LOG_FILE" 2>&1 || give_up "the certificate could not be made, see $LOG_FILE"
}

# The process of the pid file, if it is this server and no other process that got its number.
running_pid() {
    local pid
    [ -f "$PID_FILE" ] || return 1
    pid=$(<"$PID_FILE")
    ps -ww -o args= -p "$pid" 2>/dev/null | grep -qF "$PROGRAM $PLACE" || return 1
    printf '%s\n' "$pid"
}

# A mail server greets first.
answers() {
    local port greeting
    read -r port _ <"$PORTS_FILE"
    {
        exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
    } 2>/dev/null
    read -r -t 2 greeting <&3 || greeting=
    exec 3>&-
    [ "${greeting:0:3}" = 220 ]
}

start() {
    mkdir -p "$PLACE"
    if running_pid >/dev/null && answers; then
        say "the mail server runs at $(<"$ADDRESS_FILE")"
        return
    fi
    local port tls_port began=$SECONDS
    install_server
    ports
    certificate
    read -r port tls_port <"$PORTS_FILE"
    # In a session of its own: it outlives the shell that started it.
    setsid "$PYTHON" "$PROGRAM" "$PLACE" "$port" "$tls_port" >>"$LOG_FILE" 2>&1 </dev/null &
    printf '%s\n' $! >"$PID_FILE"
    sleep 0.3
    until answers; do
        running_pid >/dev/null || give_up "the mail server ended at its start, see $LOG_FILE"
        [ $((SECONDS - began)) -lt "$START_SECONDS" ] || give_up "the mail server does not answer, see $LOG_FILE"
        sleep 0.2
    done
    say "the mail server runs at $(<"$ADDRESS_FILE")"
}

stop() {
    local pid began=$SECONDS
    pid=$(running_pid) || return 0
    kill "$pid"
    while kill -0 "$pid" 2>/dev/null; do
        [ $((SECONDS - began)) -lt "$STOP_SECONDS" ] || give_up "the mail server (process $pid) does not stop"
        sleep 0.1
    done
    rm -f "$PID_FILE"
}

case "${1:-}" in
    start) start ;;
    address)
        running_pid >/dev/null || give_up "the mail server does not run: bash scripts/services/mail.sh start"
        cat "$ADDRESS_FILE"
        ;;
    stop) stop ;;
    *) give_up "say start, address or stop" ;;
esac

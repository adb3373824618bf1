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
# shellcheck source=scripts/services/own.sh
. "$(dirname "$0")/own.sh"
cd "$ROOT"

# Debian's own: a python from elsewhere does not see its packages.
PYTHON=/usr/bin/python3
PROGRAM=scripts/services/mail/server.py
PLACE="$CACHE/services/mail"
PID_FILE="$PLACE/pid"
PORTS_FILE="$PLACE/ports"
ADDRESS_FILE="$PLACE/address"
LOG_FILE="$PLACE/server.log"
# Among the arguments of its process, and of no other.
PROCESS="$PROGRAM $PLACE"
START_SECONDS=20
STOP_SECONDS=10

install_server() {
    "$PYTHON" -c 'import aiosmtpd.controller' 2>/dev/null || install_packages python3-aiosmtpd
    has openssl || install_packages openssl
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
    if running_pid "$PID_FILE" "$PROCESS" >/dev/null && answers; then
        say "the mail server runs at $(<"$ADDRESS_FILE")"
        return
    fi
    local port tls_port began=$SECONDS
    install_server
    two_ports "$PORTS_FILE"
    [ -s "$PLACE/server.crt" ] || make_certificate "$PLACE" "$LOG_FILE"
    read -r port tls_port <"$PORTS_FILE"
    # In a session of its own: it outlives the shell that started it.
    setsid "$PYTHON" "$PROGRAM" "$PLACE" "$port" "$tls_port" >>"$LOG_FILE" 2>&1 </dev/null &
    printf '%s\n' $! >"$PID_FILE"
    sleep 0.3
    until answers; do
        running_pid "$PID_FILE" "$PROCESS" >/dev/null || give_up "the mail server ended at its start, see $LOG_FILE"
        [ $((SECONDS - began)) -lt "$START_SECONDS" ] || give_up "the mail server does not answer, see $LOG_FILE"
        sleep 0.2
    done
    say "the mail server runs at $(<"$ADDRESS_FILE")"
}

case "${1:-}" in
    start) start ;;
    address)
        running_pid "$PID_FILE" "$PROCESS" >/dev/null || give_up "the mail server does not run: bash scripts/services/mail.sh start"
        cat "$ADDRESS_FILE"
        ;;
    stop) stop_process "$PID_FILE" "$PROCESS" "the mail server" "$STOP_SECONDS" ;;
    *) give_up "say start, address or stop" ;;
esac

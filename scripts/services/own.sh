# Sourced by the services that run as processes of this folder's own: their ports, certificate and process.
# shellcheck shell=bash

# is_open PORT: whether something listens.
is_open() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# free_ports COUNT: the first of so many free ports in a row, below those that the system hands out.
free_ports() {
    local first port
    for first in $(shuf -i 20000-29990 -n 50); do
        for port in $(seq "$first" $((first + $1 - 1))); do
            ! is_open "$port" || continue 2
        done
        printf '%s' "$first"
        return
    done
    give_up "no free port between 20000 and 29999"
}

# two_ports FILE: two of them, drawn once and kept there.
two_ports() {
    local port
    [ ! -s "$1" ] || return 0
    port=$(free_ports 2)
    printf '%s %s\n' "$port" $((port + 1)) >"$1"
}

# make_certificate FOLDER LOG: an authority (ca.pem) that signs one certificate (server.crt, server.key) for the name
# localhost, and is forgotten.
make_certificate() {
    (
        cd "$1"
        cat >sections <<'SECTIONS'
[req]
distinguished_name = none
[none]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:localhost
SECTIONS
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -config sections \
            -extensions authority -subj '/CN=affilitrack test authority' -keyout ca.key -out ca.pem
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -config sections \
            -extensions server -subj '/CN=localhost' -CA ca.pem -CAkey ca.key -keyout server.key -out server.crt
        rm -f sections ca.key
    ) >"$2" 2>&1 || give_up "the certificate could not be made, see $2"
}

# running_pid FILE WORDS: the process of this file, if WORDS are among its arguments: another may have got its number.
running_pid() {
    local pid
    [ -s "$1" ] || return 1
    pid=$(<"$1")
    ps -ww -o args= -p "$pid" 2>/dev/null | grep -qF -e "$2" || return 1
    printf '%s\n' "$pid"
}

# stop_process FILE WORDS NAME SECONDS: ends the process of the file, and after so many seconds kills it.
stop_process() {
    local pid began=$SECONDS
    if ! pid=$(running_pid "$1" "$2"); then
        rm -f "$1"
        say "$3 does not run"
        return
    fi
    kill -TERM "$pid"
    while running_pid "$1" "$2" >/dev/null; do
        if [ $((SECONDS - began)) -ge "$4" ]; then
            say "$3 did not stop within $4 s and is killed"
            kill -KILL "$pid"
        fi
        sleep 0.2
    done
    rm -f "$1"
    say "$3 stopped"
}

#!/usr/bin/env bash
# One Apache Kafka broker for tests and trials, with its data under .cache/services/kafka.
#
#   scripts/services/kafka.sh start     installs what is missing, starts it unless it runs, waits until it answers
#   scripts/services/kafka.sh address   prints HOST:PORT, and fails when it does not run
#   scripts/services/kafka.sh stop      stops exactly this one; its data stays

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../common.sh"
# shellcheck source=scripts/services/own.sh
. "$(dirname "$0")/own.sh"
cd "$ROOT"

DEFINITION=scripts/services/kafka
HOME_FOLDER="$CACHE/services/kafka"
PID_FILE="$HOME_FOLDER/kafka.pid"
PORTS_FILE="$HOME_FOLDER/ports"
ADDRESS_FILE="$HOME_FOLDER/address"
PROPERTIES="$HOME_FOLDER/server.properties"
BROKER_LOG="$HOME_FOLDER/kafka.log"
# Among the arguments of its process, and of no other.
PROCESS="kafka.Kafka $PROPERTIES"
START_SECONDS=60
STOP_SECONDS=30

system_packages() {
    local missing=()
    has java || missing+=(openjdk-17-jre-headless)
    has mvn || missing+=(maven)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

# The jars of pom.xml, when it changed.
jars() {
    local hash
    hash=$(hash_of "$DEFINITION/pom.xml")
    if [ -d "$HOME_FOLDER/libs" ] && is_done kafka-jars "$hash"; then
        return
    fi
    say "Kafka: fetching the jars that $DEFINITION/pom.xml names"
    rm -rf "$HOME_FOLDER/libs"
    mvn -q -B -f "$DEFINITION/pom.xml" dependency:copy-dependencies -DoutputDirectory="$HOME_FOLDER/libs"
    done_with kafka-jars "$hash"
}

properties() {
    local broker controller
    read -r broker controller <"$PORTS_FILE"
    {
        cat "$DEFINITION/server.properties"
        printf '\n# By scripts/services/kafka.sh:\n'
        printf 'log.dirs=%s/data\n' "$HOME_FOLDER"
        printf 'listeners=PLAINTEXT://127.0.0.1:%s,CONTROLLER://127.0.0.1:%s\n' "$broker" "$controller"
        printf 'advertised.listeners=PLAINTEXT://127.0.0.1:%s\n' "$broker"
        printf 'controller.quorum.voters=1@127.0.0.1:%s\n' "$controller"
    } >"$PROPERTIES"
}

# kafka CLASS ARGUMENTS...: one of Kafka's programs.
kafka() {
    java "-Dlog4j2.configurationFile=$ROOT/$DEFINITION/log4j2.properties" -cp "$HOME_FOLDER/libs/*" "$@"
}

format() {
    [ -f "$HOME_FOLDER/data/meta.properties" ] && return
    say "Kafka: preparing $HOME_FOLDER/data"
    local id
    id=$(kafka kafka.tools.StorageTool random-uuid)
    kafka kafka.tools.StorageTool format -t "$id" -c "$PROPERTIES" >>"$BROKER_LOG" 2>&1 ||
        give_up "the data folder could not be prepared, see $BROKER_LOG"
}

# Asks for the protocol versions, as a client does first, and waits for the beginning of an answer.
answers() {
    local port answer
    read -r port _ <"$PORTS_FILE"
    {
        exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
    } 2>/dev/null
    printf '\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff' >&3
    answer=$(timeout 2 head -c 8 <&3 | od -An -tx1 | tr -d ' \n')
    exec 3>&-
    [ "${answer:8}" = 00000001 ]
}

launch() {
    # In a session of its own: it outlives the shell that started it.
    setsid java -Xms256m -Xmx512m "-Dlog4j2.configurationFile=$ROOT/$DEFINITION/log4j2.properties" \
        -cp "$HOME_FOLDER/libs/*" kafka.Kafka "$PROPERTIES" >>"$BROKER_LOG" 2>&1 </dev/null &
    printf '%s\n' $! >"$PID_FILE"
}

wait_until_it_answers() {
    local began=$SECONDS
    until answers; do
        running_pid "$PID_FILE" "$PROCESS" >/dev/null || give_up "Kafka ended at its start, see $BROKER_LOG"
        [ $((SECONDS - began)) -lt "$START_SECONDS" ] || give_up "Kafka does not answer after $START_SECONDS s, see $BROKER_LOG"
        sleep 0.3
    done
}

start() {
    mkdir -p "$HOME_FOLDER"
    if running_pid "$PID_FILE" "$PROCESS" >/dev/null && answers; then
        say "Kafka runs at $(<"$ADDRESS_FILE")"
        return
    fi
    system_packages
    jars
    two_ports "$PORTS_FILE"
    properties
    format
    if ! running_pid "$PID_FILE" "$PROCESS" >/dev/null; then
        launch
        # The program's arguments show a moment after the fork.
        sleep 0.5
    fi
    wait_until_it_answers
    local port
    read -r port _ <"$PORTS_FILE"
    printf '127.0.0.1:%s\n' "$port" >"$ADDRESS_FILE"
    say "Kafka runs at $(<"$ADDRESS_FILE")"
}

address() {
    running_pid "$PID_FILE" "$PROCESS" >/dev/null || give_up "Kafka does not run. Run: bash scripts/services/kafka.sh start"
    cat "$ADDRESS_FILE"
}

stop() {
    stop_process "$PID_FILE" "$PROCESS" Kafka "$STOP_SECONDS"
    rm -f "$ADDRESS_FILE"
}

case "${1:-}" in
    start) start ;;
    address) address ;;
    stop) stop ;;
    *) give_up "say start, address or stop" ;;
esac

#!/usr/bin/env bash
# A real Apache Kafka (one process, KRaft mode) from its published jars, for tests and benchmarks.
#
#   scripts/kafka.sh start [DIR]   start a broker on free ports of 127.0.0.1 with its data in DIR; prints host:port
#   scripts/kafka.sh secured [DIR] the same with secured listeners, users, certificates and access control besides:
#                                  scripts/kafka/secured.sh says which
#   scripts/kafka.sh resume DIR    start it again on its ports and data, after `stop` or a crash; prints host:port
#   scripts/kafka.sh stop DIR      stop it, by the process id kept in DIR
#   scripts/kafka.sh jars          fetch the jars and print their folder (a class path is "FOLDER/*")
#
# ARTERIAL_KAFKA_JARS    folder of the jars; fetched with Maven into target/kafka-jars otherwise
# ARTERIAL_KAFKA_PARENT  process id: when that process ends, the broker stops and DIR is removed
# ARTERIAL_KAFKA_HEAP    options of the broker's JVM; "-Xms256m -Xmx1g" unless given
# ARTERIAL_KAFKA_CONFIG  file of further broker settings; @PORT@ and @CONTROLLER@ stand for the ports of the first two
#                        listeners
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
# Further options of `format`: users with SCRAM passwords are made there.
format_options=()

fail() { echo "kafka.sh: $*" >&2; exit 1; }

need_java() {
    command -v java >/dev/null || fail "Java 17 or newer is needed for the Kafka broker: install openjdk-17-jre-headless, or set ARTERIAL_TEST_KAFKA=host:port"
    local major
    major=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1)
    [ "${major:-0}" -ge 17 ] || fail "Java 17 or newer is needed for the Kafka broker, found ${major:-none}"
}

jars() {
    local folder=${ARTERIAL_KAFKA_JARS:-${CARGO_TARGET_DIR:-$root/target}/kafka-jars}
    if [ ! -e "$folder/.complete" ] && ! compgen -G "$folder/kafka_2.13-*.jar" >/dev/null; then
        [ -z "${ARTERIAL_KAFKA_JARS:-}" ] || fail "no Kafka jars in ARTERIAL_KAFKA_JARS=$folder"
        command -v mvn >/dev/null || fail "Maven is needed to fetch the Kafka broker's jars: install maven, or set ARTERIAL_KAFKA_JARS to a folder of them"
        local fresh
        mkdir -p "$(dirname "$folder")"
        fresh=$(mktemp -d "$folder.XXXXXX")
        mvn -q -B -f "$here/kafka/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
            -DoutputDirectory="$fresh" -DincludeScope=runtime >&2 || { rm -rf "$fresh"; fail "Maven could not fetch the Kafka jars"; }
        touch "$fresh/.complete"
        # Two processes may fetch at once: the first to finish wins, both sets are the same.
        mv -T "$fresh" "$folder" 2>/dev/null || rm -rf "$fresh"
    fi
    echo "$folder"
}

# A port nobody listens on. Another process may take it before the broker does: `start` then tries again.
free_port() {
    local port
    while :; do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
}

write_config() {
    local dir=$1 port=$2 controller=$3
    cat >"$dir/server.properties" <<CONFIG
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=5
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
CONFIG
    [ -z "${ARTERIAL_KAFKA_CONFIG:-}" ] ||
        sed "s/@PORT@/$port/g; s/@CONTROLLER@/$controller/g" "$ARTERIAL_KAFKA_CONFIG" >>"$dir/server.properties"
    cat >"$dir/log4j2.properties" <<CONFIG
status=warn
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1}: %m%n
CONFIG
}

# Whether the broker on $1 answers an ApiVersions request: it accepts connections only when it is ready.
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

watch_parent() {
    local dir=$1 parent=$2
    while alive "$parent"; do sleep 1; done
    stop "$dir"
    rm -rf "$dir"
}

start_once() {
    local dir=$1 folder=$2 port controller uuid
    port=$(free_port)
    controller=$(free_port)
    rm -rf "$dir/data"
    write_config "$dir" "$port" "$controller"
    local run=(java "-Dlog4j2.configurationFile=$dir/log4j2.properties" -cp "$folder/*")
    uuid=$("${run[@]}" -Xmx128m kafka.tools.StorageTool random-uuid 2>>"$dir/broker.log")
    "${run[@]}" -Xmx128m kafka.tools.StorageTool format --standalone -t "$uuid" -c "$dir/server.properties" \
        "${format_options[@]}" >>"$dir/broker.log" 2>&1
    launch "$dir" "$folder" "$port"
}

# Starts the broker of DIR and waits until it answers.
launch() {
    local dir=$1 folder=$2 port=$3 pid
    # shellcheck disable=SC2086  # the heap options are several words on purpose
    setsid java "-Dlog4j2.configurationFile=$dir/log4j2.properties" -cp "$folder/*" ${ARTERIAL_KAFKA_HEAP:--Xms256m -Xmx1g} \
        kafka.Kafka "$dir/server.properties" >>"$dir/broker.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$dir/pid"
    for _ in $(seq 600); do
        alive "$pid" || return 1
        if answers "$port"; then echo "127.0.0.1:$port" >"$dir/address"; return 0; fi
        sleep 0.1
    done
    stop "$dir"
    return 1
}

resume() {
    need_java
    local dir port
    dir=$(cd "$1" && pwd)
    ! runs "$dir" || fail "a broker already runs in $dir"
    port=$(sed -n 's|^advertised.listeners=PLAINTEXT://127.0.0.1:||p' "$dir/server.properties")
    launch "$dir" "$(jars)" "$port" || died "$dir"
    cat "$dir/address"
}

runs() { [ -e "$1/pid" ] && alive "$(cat "$1/pid")"; }

# Whether a process runs. One that has died and that nobody has waited for is still listed, as a zombie.
alive() { kill -0 "$1" 2>/dev/null && ! grep -qs '^State:[[:space:]]*Z' "/proc/$1/status"; }

died() { fail "the broker did not start; the end of $1/broker.log: $(tail -3 "$1/broker.log" | tr '\n' ' ')"; }

start() {
    need_java
    local dir=${1:-} folder
    folder=$(jars)
    [ -n "$dir" ] || dir=$(mktemp -d "${TMPDIR:-/tmp}/arterial-kafka.XXXXXX")
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    ! runs "$dir" || fail "a broker already runs in $dir"
    for _ in 1 2 3; do
        if start_once "$dir" "$folder"; then
            if [ -n "${ARTERIAL_KAFKA_PARENT:-}" ]; then
                watch_parent "$dir" "$ARTERIAL_KAFKA_PARENT" >/dev/null 2>&1 </dev/null &
            fi
            cat "$dir/address"
            return
        fi
    done
    died "$dir"
}

stop() {
    local dir=$1 pid
    [ -e "$dir/pid" ] || fail "no broker was started in $dir"
    pid=$(cat "$dir/pid")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 300); do
        alive "$pid" || break
        sleep 0.1
    done
    kill -9 "$pid" 2>/dev/null || true
    rm -f "$dir/pid" "$dir/address"
}

case ${1:-} in
    start) start "${2:-}" ;;
    secured)
        # shellcheck source=scripts/kafka/secured.sh
        source "$here/kafka/secured.sh"
        secured "${2:-}"
        ;;
    resume) [ -n "${2:-}" ] || fail "usage: kafka.sh resume DIR"; resume "$2" ;;
    stop) [ -n "${2:-}" ] || fail "usage: kafka.sh stop DIR"; stop "$2" ;;
    jars) jars ;;
    *) fail "usage: kafka.sh start [DIR] | secured [DIR] | resume DIR | stop DIR | jars" ;;
esac

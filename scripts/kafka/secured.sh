# The secured broker of `kafka.sh secured`, sourced by it: certificates made with openssl, users, listeners, access control.
#
#   DIR/listeners   NAME HOST:PORT, a line each
#       mutual          TLS, a client certificate required
#       login           SASL_SSL: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512
#       bare            SASL_PLAINTEXT: SCRAM-SHA-512
#       expired         as login, with a certificate that has expired
#       elsewhere       as login, with the certificate of another host
#   DIR/pki         ca.pem and what it signed: pipeline.pem, pipeline.key (pipeline.locked.key with password `walnut`),
#                   old.pem, old.key (expired); stranger.pem, another authority
#
# User `pipeline` (password `gooseberry`, or its certificate) may do nothing until an ACL says so. User `commuter` (the same
# password, SCRAM-SHA-512) and whoever comes by the first listener, which is plain, may do everything.

authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$1" \
        -keyout "$1.key" -out "$1.pem" 2>/dev/null || fail "openssl could not make the authority $1"
}

# NAME, common name, alternative names, days it is valid: negative ones have passed.
certificate() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$2" \
        -keyout "$1.key" -out "$1.csr" 2>/dev/null &&
        openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days "$4" -out "$1.pem" \
            -extfile <(echo "subjectAltName=$3") 2>/dev/null || fail "openssl could not make the certificate $1"
    cat "$1.key" "$1.pem" >"$1.keystore.pem"
}

make_certificates() {
    command -v openssl >/dev/null || fail "openssl is needed for the secured Kafka broker: install openssl"
    mkdir -p "$1" && cd "$1"
    authority ca
    authority stranger
    certificate broker localhost DNS:localhost 2
    certificate expired localhost DNS:localhost -1
    certificate elsewhere elsewhere.example DNS:elsewhere.example 2
    certificate pipeline pipeline DNS:pipeline 2
    certificate old pipeline DNS:pipeline -1
    openssl pkcs8 -topk8 -v2 aes-256-cbc -in pipeline.key -passout pass:walnut -out pipeline.locked.key
}

# Settings of a listener: NAME, keystore.
keystore() {
    echo "listener.name.$1.ssl.keystore.type=PEM"
    echo "listener.name.$1.ssl.keystore.location=$2"
}

# Mechanisms of a listener, and who may log in with PLAIN.
mechanisms() {
    local name=$1 mechanism
    shift
    echo "listener.name.$name.sasl.enabled.mechanisms=$(IFS=,; echo "$*")"
    for mechanism in "$@"; do
        case $mechanism in
            PLAIN) echo "listener.name.$name.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_pipeline=\"gooseberry\";" ;;
            *) echo "listener.name.$name.${mechanism,,}.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;" ;;
        esac
    done
}

secured_settings() {
    local pki=$1 listeners=$2 own="" map="PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,MUTUAL:SSL,LOGIN:SASL_SSL,BARE:SASL_PLAINTEXT,EXPIRED:SASL_SSL,ELSEWHERE:SASL_SSL"
    while read -r name address; do own+=",${name^^}://$address"; done <"$listeners"
    echo "listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER@$own"
    echo "advertised.listeners=PLAINTEXT://127.0.0.1:@PORT@$own"
    echo "listener.security.protocol.map=$map"
    echo "ssl.truststore.type=PEM"
    echo "ssl.truststore.location=$pki/ca.pem"
    echo 'ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/'
    keystore mutual "$pki/broker.keystore.pem"
    echo "listener.name.mutual.ssl.client.auth=required"
    keystore login "$pki/broker.keystore.pem"
    keystore expired "$pki/expired.keystore.pem"
    keystore elsewhere "$pki/elsewhere.keystore.pem"
    mechanisms login PLAIN SCRAM-SHA-256 SCRAM-SHA-512
    mechanisms bare SCRAM-SHA-512
    mechanisms expired SCRAM-SHA-512
    mechanisms elsewhere SCRAM-SHA-512
    echo "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer"
    echo "super.users=User:ANONYMOUS;User:commuter"
    # A new login on open connections, so that a password that has changed is noticed.
    echo "listener.name.bare.connections.max.reauth.ms=3000"
}

secured() {
    local dir=${1:-} name
    [ -n "$dir" ] || dir=$(mktemp -d "${TMPDIR:-/tmp}/arterial-kafka.XXXXXX")
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    (make_certificates "$dir/pki")
    for name in mutual login bare expired elsewhere; do echo "$name localhost:$(free_port)"; done >"$dir/listeners"
    secured_settings "$dir/pki" "$dir/listeners" >"$dir/secured.properties"
    ARTERIAL_KAFKA_CONFIG="$dir/secured.properties"
    format_options=(
        --add-scram 'SCRAM-SHA-256=[name=pipeline,password=gooseberry]'
        --add-scram 'SCRAM-SHA-512=[name=pipeline,password=gooseberry]'
        --add-scram 'SCRAM-SHA-512=[name=commuter,password=gooseberry]'
    )
    start "$dir"
}

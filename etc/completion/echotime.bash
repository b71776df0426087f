# Completion of echotime for bash, from 4.3 on. Made from the parsers by make docs; edit those.

_echotime_offered() {
    case $1 in
    'echotime') options='--help --version' commands='send time ping check sockopts explain control' ;;
    'echotime send') options='--help --verify --ack --reply --keep-open --timeout --repeat --parallel --encoding --raw --quiet --sockopt' commands='' ;;
    'echotime time') options='--help --iso --raw --utc --epoch --tries --timeout --quiet --sockopt' commands='' ;;
    'echotime ping') options='--help --tcp --connect --udp --count --interval --deadline --timeout --quiet --histogram --json --sockopt' commands='' ;;
    'echotime check') options='--help --tcp --udp --warning --critical --timeout --epoch --ack --reply --textfile --sockopt' commands='' ;;
    'echotime sockopts') options='--help --set --tcp --udp --settable --differs --json' commands='' ;;
    'echotime explain') options='--help' commands='' ;;
    'echotime control') options='--help --socket --json --raw --encoding' commands='status connections questions answer sockopts set backlog close reset counters watch' ;;
    'echotime control status') options='' commands='' ;;
    'echotime control connections') options='' commands='' ;;
    'echotime control questions') options='' commands='' ;;
    'echotime control answer') options='' commands='' ;;
    'echotime control sockopts') options='' commands='' ;;
    'echotime control set') options='' commands='' ;;
    'echotime control backlog') options='' commands='' ;;
    'echotime control close') options='' commands='' ;;
    'echotime control reset') options='' commands='' ;;
    'echotime control counters') options='' commands='' ;;
    'echotime control watch') options='' commands='' ;;
    esac
}

_echotime_taken() {
    case $1 in
    'echotime send --ack') kind=text ;;
    'echotime send --reply') kind=text ;;
    'echotime send --timeout') kind=text ;;
    'echotime send --repeat') kind=text ;;
    'echotime send --parallel') kind=text ;;
    'echotime send --encoding') kind=text ;;
    'echotime send --sockopt') kind=assignment ;;
    'echotime send 1') kind=host ;;
    'echotime send 2') kind=text ;;
    'echotime time --epoch') kind=words words='1900 unix' ;;
    'echotime time --tries') kind=text ;;
    'echotime time --timeout') kind=text ;;
    'echotime time --sockopt') kind=assignment ;;
    'echotime time 1') kind=host ;;
    'echotime ping -c' | 'echotime ping --count') kind=text ;;
    'echotime ping -i' | 'echotime ping --interval') kind=text ;;
    'echotime ping -w' | 'echotime ping --deadline') kind=text ;;
    'echotime ping -W' | 'echotime ping --timeout') kind=text ;;
    'echotime ping --sockopt') kind=assignment ;;
    'echotime ping 1') kind=host ;;
    'echotime check -w' | 'echotime check --warning') kind=words words='tcp= udp= offset=' ;;
    'echotime check -c' | 'echotime check --critical') kind=words words='tcp= udp= offset=' ;;
    'echotime check --timeout') kind=text ;;
    'echotime check --epoch') kind=words words='1900 unix' ;;
    'echotime check --ack') kind=text ;;
    'echotime check --reply') kind=text ;;
    'echotime check --textfile') kind=file ;;
    'echotime check --sockopt') kind=assignment ;;
    'echotime check 1') kind=host ;;
    'echotime sockopts --set') kind=assignment ;;
    'echotime sockopts '[1-9]*) kind=words words='SO_REUSEADDR SO_REUSEPORT SO_BINDTODEVICE SO_BINDTOIFINDEX IPV6_V6ONLY IP_FREEBIND IPV6_FREEBIND IP_TRANSPARENT IPV6_TRANSPARENT TCP_DEFER_ACCEPT TCP_FASTOPEN TCP_SYNCNT TCP_MAXSEG IP_MINTTL IPV6_MINHOPCOUNT TCP_SAVE_SYN TCP_SAVED_SYN SO_KEEPALIVE TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT TCP_USER_TIMEOUT SO_LINGER TCP_LINGER2 SO_RCVTIMEO SO_SNDTIMEO SO_SNDBUF SO_RCVBUF SO_SNDBUFFORCE SO_RCVBUFFORCE SO_RCVLOWAT SO_SNDLOWAT TCP_NOTSENT_LOWAT TCP_WINDOW_CLAMP SO_MAX_PACING_RATE TCP_NODELAY TCP_CORK TCP_QUICKACK TCP_CONGESTION TCP_TX_DELAY SO_OOBINLINE IP_TOS IPV6_TCLASS SO_PRIORITY SO_MARK IP_TTL IPV6_UNICAST_HOPS IP_MTU_DISCOVER IPV6_DONTFRAG SO_DONTROUTE SO_BROADCAST IP_ADD_MEMBERSHIP IPV6_JOIN_GROUP IP_MULTICAST_ALL IP_MULTICAST_IF IP_MULTICAST_TTL IPV6_MULTICAST_HOPS IP_MULTICAST_LOOP IPV6_MULTICAST_LOOP IP_PKTINFO IPV6_RECVPKTINFO IP_RECVTTL IPV6_RECVHOPLIMIT IP_RECVTOS IPV6_RECVTCLASS SO_TIMESTAMP SO_TIMESTAMPNS SO_RXQ_OVFL IP_RECVERR IPV6_RECVERR TCP_INFO SO_MEMINFO IP_MTU SO_ERROR SO_COOKIE SO_ACCEPTCONN SO_TYPE SO_DOMAIN SO_PROTOCOL' ;;
    'echotime explain '[1-9]*) kind=words words='backlog server client SO_REUSEADDR SO_REUSEPORT SO_BINDTODEVICE SO_BINDTOIFINDEX IPV6_V6ONLY IP_FREEBIND IPV6_FREEBIND IP_TRANSPARENT IPV6_TRANSPARENT TCP_DEFER_ACCEPT TCP_FASTOPEN TCP_SYNCNT TCP_MAXSEG IP_MINTTL IPV6_MINHOPCOUNT TCP_SAVE_SYN TCP_SAVED_SYN SO_KEEPALIVE TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT TCP_USER_TIMEOUT SO_LINGER TCP_LINGER2 SO_RCVTIMEO SO_SNDTIMEO SO_SNDBUF SO_RCVBUF SO_SNDBUFFORCE SO_RCVBUFFORCE SO_RCVLOWAT SO_SNDLOWAT TCP_NOTSENT_LOWAT TCP_WINDOW_CLAMP SO_MAX_PACING_RATE TCP_NODELAY TCP_CORK TCP_QUICKACK TCP_CONGESTION TCP_TX_DELAY SO_OOBINLINE IP_TOS IPV6_TCLASS SO_PRIORITY SO_MARK IP_TTL IPV6_UNICAST_HOPS IP_MTU_DISCOVER IPV6_DONTFRAG SO_DONTROUTE SO_BROADCAST IP_ADD_MEMBERSHIP IPV6_JOIN_GROUP IP_MULTICAST_ALL IP_MULTICAST_IF IP_MULTICAST_TTL IPV6_MULTICAST_HOPS IP_MULTICAST_LOOP IPV6_MULTICAST_LOOP IP_PKTINFO IPV6_RECVPKTINFO IP_RECVTTL IPV6_RECVHOPLIMIT IP_RECVTOS IPV6_RECVTCLASS SO_TIMESTAMP SO_TIMESTAMPNS SO_RXQ_OVFL IP_RECVERR IPV6_RECVERR TCP_INFO SO_MEMINFO IP_MTU SO_ERROR SO_COOKIE SO_ACCEPTCONN SO_TYPE SO_DOMAIN SO_PROTOCOL' ;;
    'echotime control --socket') kind=file ;;
    'echotime control --encoding') kind=text ;;
    'echotime control answer 1') kind=words words='next all' ;;
    'echotime control sockopts 1') kind=words words='tcp udp' ;;
    'echotime control sockopts '[2-9]*) kind=words words='all SO_REUSEADDR SO_REUSEPORT SO_BINDTODEVICE SO_BINDTOIFINDEX IPV6_V6ONLY IP_FREEBIND IPV6_FREEBIND IP_TRANSPARENT IPV6_TRANSPARENT TCP_DEFER_ACCEPT TCP_FASTOPEN TCP_SYNCNT TCP_MAXSEG IP_MINTTL IPV6_MINHOPCOUNT TCP_SAVE_SYN TCP_SAVED_SYN SO_KEEPALIVE TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT TCP_USER_TIMEOUT SO_LINGER TCP_LINGER2 SO_RCVTIMEO SO_SNDTIMEO SO_SNDBUF SO_RCVBUF SO_SNDBUFFORCE SO_RCVBUFFORCE SO_RCVLOWAT SO_SNDLOWAT TCP_NOTSENT_LOWAT TCP_WINDOW_CLAMP SO_MAX_PACING_RATE TCP_NODELAY TCP_CORK TCP_QUICKACK TCP_CONGESTION TCP_TX_DELAY SO_OOBINLINE IP_TOS IPV6_TCLASS SO_PRIORITY SO_MARK IP_TTL IPV6_UNICAST_HOPS IP_MTU_DISCOVER IPV6_DONTFRAG SO_DONTROUTE SO_BROADCAST IP_ADD_MEMBERSHIP IPV6_JOIN_GROUP IP_MULTICAST_ALL IP_MULTICAST_IF IP_MULTICAST_TTL IPV6_MULTICAST_HOPS IP_MULTICAST_LOOP IPV6_MULTICAST_LOOP IP_PKTINFO IPV6_RECVPKTINFO IP_RECVTTL IPV6_RECVHOPLIMIT IP_RECVTOS IPV6_RECVTCLASS SO_TIMESTAMP SO_TIMESTAMPNS SO_RXQ_OVFL IP_RECVERR IPV6_RECVERR TCP_INFO SO_MEMINFO IP_MTU SO_ERROR SO_COOKIE SO_ACCEPTCONN SO_TYPE SO_DOMAIN SO_PROTOCOL' ;;
    'echotime control set 1') kind=words words='tcp udp' ;;
    'echotime control set 2') kind=assignment ;;
    esac
}

_echotime_settable='SO_REUSEADDR SO_REUSEPORT SO_BINDTODEVICE SO_BINDTOIFINDEX IPV6_V6ONLY IP_FREEBIND IPV6_FREEBIND IP_TRANSPARENT IPV6_TRANSPARENT TCP_DEFER_ACCEPT TCP_FASTOPEN TCP_SYNCNT TCP_MAXSEG IP_MINTTL IPV6_MINHOPCOUNT TCP_SAVE_SYN SO_KEEPALIVE TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT TCP_USER_TIMEOUT SO_LINGER TCP_LINGER2 SO_RCVTIMEO SO_SNDTIMEO SO_SNDBUF SO_RCVBUF SO_SNDBUFFORCE SO_RCVBUFFORCE SO_RCVLOWAT TCP_NOTSENT_LOWAT TCP_WINDOW_CLAMP SO_MAX_PACING_RATE TCP_NODELAY TCP_CORK TCP_QUICKACK TCP_CONGESTION TCP_TX_DELAY SO_OOBINLINE IP_TOS IPV6_TCLASS SO_PRIORITY SO_MARK IP_TTL IPV6_UNICAST_HOPS IP_MTU_DISCOVER IPV6_DONTFRAG SO_DONTROUTE SO_BROADCAST IP_ADD_MEMBERSHIP IPV6_JOIN_GROUP IP_MULTICAST_ALL IP_MULTICAST_IF IP_MULTICAST_TTL IPV6_MULTICAST_HOPS IP_MULTICAST_LOOP IPV6_MULTICAST_LOOP IP_PKTINFO IPV6_RECVPKTINFO IP_RECVTTL IPV6_RECVHOPLIMIT IP_RECVTOS IPV6_RECVTCLASS SO_TIMESTAMP SO_TIMESTAMPNS SO_RXQ_OVFL IP_RECVERR IPV6_RECVERR'

# bash takes = and : for words of their own (COMP_WORDBREAKS); here they are put together to what the command will see
_echotime_line() {
    local i word
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i > 1)) && [[ $word == [=:]* && $COMP_WORDBREAKS == *"${word:0:1}"* || ${line[-1]} == *[=:] && -n $word ]]; then
            line[-1]+=$word
        elif ((i > 1 && i == COMP_CWORD)) && [[ -z $word && ${line[-1]} == *[=:] && ${COMP_LINE:COMP_POINT-1:1} == [=:] ]]; then
            :
        else
            line+=("$word")
        fi
    done
}

# where the line has come to: the path of commands, the option that waits for its value, the number of the place
_echotime_follow() {
    local i word
    for ((i = 1; i < ${#line[@]} - 1; i++)); do
        word=${line[i]}
        if [[ -n $waiting ]]; then
            waiting=
        elif [[ $word == -* ]]; then
            kind=
            _echotime_taken "$path $word"
            waiting=${kind:+$word}
        else
            _echotime_offered "$path"
            if [[ " $commands " == *" $word "* ]]; then
                path+=" $word"
            else
                ((place++))
            fi
        fi
    done
}

# replies that begin with what is there; $1 stands before the value in the word. bash puts a reply where the last = or : was
_echotime_reply() {
    local before=$1 each strip= i
    shift
    for ((i = ${#current}; i > 0; i--)); do
        each=${current:i-1:1}
        [[ $each == [=:] && $COMP_WORDBREAKS == *"$each"* ]] && strip=${current:0:i} && break
    done
    for each; do
        each=$before$each
        [[ $each == "$current"* ]] && COMPREPLY+=("${each#"$strip"}")
    done
}

_echotime_values() {
    local before=$1 value=${current#"$1"} found=() each=
    case $kind in
    file)
        mapfile -t found < <(compgen -f -- "$value")
        compopt -o filenames 2>/dev/null
        ;;
    host) mapfile -t found < <(compgen -A hostname -- "$value") ;;
    group) mapfile -t found < <(compgen -g -- "$value") ;;
    words) found=($words) ;;
    assignment)
        [[ $value == tcp:* || $value == udp:* ]] && each=${value:0:4}
        for word in $_echotime_settable; do
            found+=("$each$word=")
        done
        [[ -z $value ]] && found+=(tcp: udp:)
        ;;
    esac
    _echotime_reply "$before" "${found[@]}"
    [[ ${#COMPREPLY[@]} -gt 0 && ${COMPREPLY[0]} == *[=:] ]] && compopt -o nospace 2>/dev/null
}

_echotime() {
    local IFS=$' \t\n' line=() path=echotime waiting= place=1 current word kind= words= options= commands=
    COMPREPLY=()
    _echotime_line
    current=${line[-1]}
    _echotime_follow
    kind= words= options= commands=
    if [[ -n $waiting ]]; then
        _echotime_taken "$path $waiting"
        _echotime_values ''
    elif [[ $current == --*=* ]]; then
        _echotime_taken "$path ${current%%=*}"
        _echotime_values "${current%%=*}="
    else
        _echotime_offered "$path"
        if [[ $current == -* ]]; then
            _echotime_reply '' $options
        elif [[ -n $commands ]]; then
            _echotime_reply '' $commands
        else
            _echotime_taken "$path $place"
            _echotime_values ''
        fi
    fi
}

complete -F _echotime echotime

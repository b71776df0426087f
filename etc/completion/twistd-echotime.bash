# Completion of twistd-echotime for bash, from 4.3 on. Made from the parsers by make docs; edit those.

_twistd_echotime_offered() {
    case $1 in
    'twistd-echotime') options='--chroot --gid --help --logfile --nodaemon --pidfile --prefix --reactor --rundir --syslog --uid --umask --version' commands='echotime' ;;
    'twistd-echotime echotime') options='--ack --allow --answer-broadcast --answer-low-ports --backlog --check --config --control-group --control --deny --drain-seconds --encoding --epoch --half-closed-timeout --help --idle-timeout --max-connections --max-per-source --max-questions-per-source --max-questions --operator --reply-deadline --reply --require-sync --session-timeout --show-messages --sockopt --tcp --udp-rate --udp --version --wait-for-operator' commands='' ;;
    esac
}

_twistd_echotime_taken() {
    case $1 in
    'twistd-echotime --chroot') kind=file ;;
    'twistd-echotime --gid') kind=group ;;
    'twistd-echotime --logfile') kind=file ;;
    'twistd-echotime --pidfile') kind=file ;;
    'twistd-echotime --prefix') kind=text ;;
    'twistd-echotime --reactor') kind=text ;;
    'twistd-echotime --rundir') kind=file ;;
    'twistd-echotime --uid') kind=text ;;
    'twistd-echotime --umask') kind=text ;;
    'twistd-echotime echotime --ack') kind=text ;;
    'twistd-echotime echotime --allow') kind=text ;;
    'twistd-echotime echotime --backlog') kind=text ;;
    'twistd-echotime echotime --config') kind=file ;;
    'twistd-echotime echotime --control-group') kind=group ;;
    'twistd-echotime echotime --control') kind=file ;;
    'twistd-echotime echotime --deny') kind=text ;;
    'twistd-echotime echotime --drain-seconds') kind=text ;;
    'twistd-echotime echotime --encoding') kind=text ;;
    'twistd-echotime echotime --epoch') kind=words words='unix 1900' ;;
    'twistd-echotime echotime --half-closed-timeout') kind=text ;;
    'twistd-echotime echotime --idle-timeout') kind=text ;;
    'twistd-echotime echotime --max-connections') kind=text ;;
    'twistd-echotime echotime --max-per-source') kind=text ;;
    'twistd-echotime echotime --max-questions-per-source') kind=text ;;
    'twistd-echotime echotime --max-questions') kind=text ;;
    'twistd-echotime echotime --reply-deadline') kind=text ;;
    'twistd-echotime echotime --reply') kind=text ;;
    'twistd-echotime echotime --session-timeout') kind=text ;;
    'twistd-echotime echotime --show-messages') kind=text ;;
    'twistd-echotime echotime --sockopt') kind=assignment ;;
    'twistd-echotime echotime --tcp') kind=text ;;
    'twistd-echotime echotime --udp-rate') kind=text ;;
    'twistd-echotime echotime --udp') kind=text ;;
    esac
}

_twistd_echotime_settable='SO_REUSEADDR SO_REUSEPORT SO_BINDTODEVICE SO_BINDTOIFINDEX IPV6_V6ONLY IP_FREEBIND IPV6_FREEBIND IP_TRANSPARENT IPV6_TRANSPARENT TCP_DEFER_ACCEPT TCP_FASTOPEN TCP_SYNCNT TCP_MAXSEG IP_MINTTL IPV6_MINHOPCOUNT TCP_SAVE_SYN SO_KEEPALIVE TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT TCP_USER_TIMEOUT SO_LINGER TCP_LINGER2 SO_RCVTIMEO SO_SNDTIMEO SO_SNDBUF SO_RCVBUF SO_SNDBUFFORCE SO_RCVBUFFORCE SO_RCVLOWAT TCP_NOTSENT_LOWAT TCP_WINDOW_CLAMP SO_MAX_PACING_RATE TCP_NODELAY TCP_CORK TCP_QUICKACK TCP_CONGESTION TCP_TX_DELAY SO_OOBINLINE IP_TOS IPV6_TCLASS SO_PRIORITY SO_MARK IP_TTL IPV6_UNICAST_HOPS IP_MTU_DISCOVER IPV6_DONTFRAG SO_DONTROUTE SO_BROADCAST IP_ADD_MEMBERSHIP IPV6_JOIN_GROUP IP_MULTICAST_ALL IP_MULTICAST_IF IP_MULTICAST_TTL IPV6_MULTICAST_HOPS IP_MULTICAST_LOOP IPV6_MULTICAST_LOOP IP_PKTINFO IPV6_RECVPKTINFO IP_RECVTTL IPV6_RECVHOPLIMIT IP_RECVTOS IPV6_RECVTCLASS SO_TIMESTAMP SO_TIMESTAMPNS SO_RXQ_OVFL IP_RECVERR IPV6_RECVERR'

# bash takes = and : for words of their own (COMP_WORDBREAKS); here they are put together to what the command will see
_twistd_echotime_line() {
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
_twistd_echotime_follow() {
    local i word
    for ((i = 1; i < ${#line[@]} - 1; i++)); do
        word=${line[i]}
        if [[ -n $waiting ]]; then
            waiting=
        elif [[ $word == -* ]]; then
            kind=
            _twistd_echotime_taken "$path $word"
            waiting=${kind:+$word}
        else
            _twistd_echotime_offered "$path"
            if [[ " $commands " == *" $word "* ]]; then
                path+=" $word"
            else
                ((place++))
            fi
        fi
    done
}

# replies that begin with what is there; $1 stands before the value in the word. bash puts a reply where the last = or : was
_twistd_echotime_reply() {
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

_twistd_echotime_values() {
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
        for word in $_twistd_echotime_settable; do
            found+=("$each$word=")
        done
        [[ -z $value ]] && found+=(tcp: udp:)
        ;;
    esac
    _twistd_echotime_reply "$before" "${found[@]}"
    [[ ${#COMPREPLY[@]} -gt 0 && ${COMPREPLY[0]} == *[=:] ]] && compopt -o nospace 2>/dev/null
}

_twistd_echotime() {
    local IFS=$' \t\n' line=() path=twistd-echotime waiting= place=1 current word kind= words= options= commands=
    COMPREPLY=()
    _twistd_echotime_line
    current=${line[-1]}
    _twistd_echotime_follow
    kind= words= options= commands=
    if [[ -n $waiting ]]; then
        _twistd_echotime_taken "$path $waiting"
        _twistd_echotime_values ''
    elif [[ $current == --*=* ]]; then
        _twistd_echotime_taken "$path ${current%%=*}"
        _twistd_echotime_values "${current%%=*}="
    else
        _twistd_echotime_offered "$path"
        if [[ $current == -* ]]; then
            _twistd_echotime_reply '' $options
        elif [[ -n $commands ]]; then
            _twistd_echotime_reply '' $commands
        else
            _twistd_echotime_taken "$path $place"
            _twistd_echotime_values ''
        fi
    fi
}

complete -F _twistd_echotime twistd-echotime

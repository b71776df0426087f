# Completion of twistd-echotime, and of `twistd ... echotime`, for bash.
# Made by make docs from docs/generate; edit that.

_twistd_echotime() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words=
    COMPREPLY=()
    # bash splits --option=value into three words
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $previous in
    --control | --record | --port-file | --config | --chroot | --logfile | --pidfile | --rundir)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        compopt -o filenames
        return
        ;;
    --control-group | --gid)
        mapfile -t COMPREPLY < <(compgen -g -- "$current")
        return
        ;;
    --epoch) words='unix 1900' ;;
    # tcp: or udp: may stand before the name
    --sockopt | :) words='SO_REUSEADDR= SO_REUSEPORT= SO_BINDTODEVICE= SO_BINDTOIFINDEX= IPV6_V6ONLY= IP_FREEBIND= IPV6_FREEBIND= IP_TRANSPARENT= IPV6_TRANSPARENT= TCP_DEFER_ACCEPT= TCP_FASTOPEN= TCP_SYNCNT= TCP_MAXSEG= IP_MINTTL= IPV6_MINHOPCOUNT= TCP_SAVE_SYN= SO_KEEPALIVE= TCP_KEEPIDLE= TCP_KEEPINTVL= TCP_KEEPCNT= TCP_USER_TIMEOUT= SO_LINGER= TCP_LINGER2= SO_RCVTIMEO= SO_SNDTIMEO= SO_SNDBUF= SO_RCVBUF= SO_SNDBUFFORCE= SO_RCVBUFFORCE= SO_RCVLOWAT= TCP_NOTSENT_LOWAT= TCP_WINDOW_CLAMP= SO_MAX_PACING_RATE= TCP_NODELAY= TCP_CORK= TCP_QUICKACK= TCP_CONGESTION= TCP_TX_DELAY= SO_OOBINLINE= IP_TOS= IPV6_TCLASS= SO_PRIORITY= SO_MARK= IP_TTL= IPV6_UNICAST_HOPS= IP_MTU_DISCOVER= IPV6_DONTFRAG= SO_DONTROUTE= SO_BROADCAST= IP_ADD_MEMBERSHIP= IPV6_JOIN_GROUP= IP_MULTICAST_ALL= IP_MULTICAST_IF= IP_MULTICAST_TTL= IPV6_MULTICAST_HOPS= IP_MULTICAST_LOOP= IPV6_MULTICAST_LOOP= IP_PKTINFO= IPV6_RECVPKTINFO= IP_RECVTTL= IPV6_RECVHOPLIMIT= IP_RECVTOS= IPV6_RECVTCLASS= SO_TIMESTAMP= SO_TIMESTAMPNS= SO_RXQ_OVFL= IP_RECVERR= IPV6_RECVERR=' ;;
    *)
        if [[ " ${COMP_WORDS[*]:1:COMP_CWORD-1} " == *' echotime '* ]]; then
            # in the order of --help; bash 4.4 and later can leave words unsorted
            [[ $current != -* ]] || { words='--tcp --udp --backlog --sockopt --ack --reply --operator --control --control-group --reply-deadline --wait-for-operator --max-questions --max-questions-per-source --encoding --epoch --udp-rate --require-sync --allow-privileged-ports --answer-broadcast --allow --deny --proxy-protocol --quiet --max-connections --max-per-source --idle-timeout --half-closed-timeout --session-timeout --log-message-rate --log-also --record --http --http-allow-remote --http-public-metrics --behave --drain-timeout --stop-delay --port-file --config --check --version --help' && compopt -o nosort 2> /dev/null; }
        elif [[ $current == -* ]]; then
            words='--chroot --gid --help --logfile --nodaemon --pidfile --prefix --reactor --rundir --syslog --uid --umask --version'
        else
            words=echotime
        fi
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    [[ ${COMPREPLY-} != *= ]] || compopt -o nospace
}

complete -o default -F _twistd_echotime twistd-echotime twistd

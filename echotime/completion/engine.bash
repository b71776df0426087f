# bash takes = and : for words of their own (COMP_WORDBREAKS); here they are put together to what the command will see
_@name@_line() {
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
_@name@_follow() {
    local i word
    for ((i = 1; i < ${#line[@]} - 1; i++)); do
        word=${line[i]}
        if [[ -n $waiting ]]; then
            waiting=
        elif [[ $word == -* ]]; then
            kind=
            _@name@_taken "$path $word"
            waiting=${kind:+$word}
        else
            _@name@_offered "$path"
            if [[ " $commands " == *" $word "* ]]; then
                path+=" $word"
            else
                ((place++))
            fi
        fi
    done
}

# replies that begin with what is there; $1 stands before the value in the word. bash puts a reply where the last = or : was
_@name@_reply() {
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

_@name@_values() {
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
        for word in $_@name@_settable; do
            found+=("$each$word=")
        done
        [[ -z $value ]] && found+=(tcp: udp:)
        ;;
    esac
    _@name@_reply "$before" "${found[@]}"
    [[ ${#COMPREPLY[@]} -gt 0 && ${COMPREPLY[0]} == *[=:] ]] && compopt -o nospace 2>/dev/null
}

_@name@() {
    local IFS=$' \t\n' line=() path=@root@ waiting= place=1 current word kind= words= options= commands=
    COMPREPLY=()
    _@name@_line
    current=${line[-1]}
    _@name@_follow
    kind= words= options= commands=
    if [[ -n $waiting ]]; then
        _@name@_taken "$path $waiting"
        _@name@_values ''
    elif [[ $current == --*=* ]]; then
        _@name@_taken "$path ${current%%=*}"
        _@name@_values "${current%%=*}="
    else
        _@name@_offered "$path"
        if [[ $current == -* ]]; then
            _@name@_reply '' $options
        elif [[ -n $commands ]]; then
            _@name@_reply '' $commands
        else
            _@name@_taken "$path $place"
            _@name@_values ''
        fi
    fi
}

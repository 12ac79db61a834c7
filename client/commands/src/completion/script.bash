# bash completion for PROGRAM: source <(PROGRAM completion bash)
_PROGRAM_complete() {
    # Not COMP_WORDS, which are cut at ':' and '=' too.
    local line=${COMP_LINE:0:COMP_POINT} words current value kept found candidate directive
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current=${words[-1]}
    mapfile -t found < <("${words[0]/#\~/$HOME}" COMPLETE "${words[@]:1}" 2>/dev/null)
    ((${#found[@]})) || return
    directive=${found[-1]#:}
    value=$current
    [[ $current == --*=* ]] && value=${current#*=}
    # What bash takes for a word of its own, and keeps.
    kept=${value%"${value##*[:=]}"}
    COMPREPLY=()
    for candidate in "${found[@]:0:${#found[@]}-1}"; do
        candidate=${candidate%%$'\t'*}
        [[ $candidate == "$value"* ]] && COMPREPLY+=("${candidate#"$kept"}")
    done
    ((directive & 2)) && compopt -o nospace
    ((${#COMPREPLY[@]} || directive & 4)) || compopt -o default
    return 0
}
complete -F _PROGRAM_complete PROGRAM

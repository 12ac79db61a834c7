#compdef PROGRAM
# zsh completion for PROGRAM: source <(PROGRAM completion zsh), or in a file _PROGRAM in $fpath
_PROGRAM() {
    local -a found values shown
    local line directive
    found=("${(@f)$("${words[1]}" COMPLETE "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    directive=${found[-1]#:}
    found[-1]=()
    for line in "${found[@]}"; do
        values+=("${line%%$'\t'*}")
        shown+=("${line/$'\t'/  -- }")
    done
    [[ ${words[CURRENT]} == --*=* ]] && compset -P '*='
    local -a options
    (( directive & 2 )) && options=(-S '')
    if (( $#values )); then
        compadd $options -l -d shown -a values
    elif (( ! (directive & 4) )); then
        _files
    fi
}
if [[ $funcstack[1] == _PROGRAM ]]; then
    _PROGRAM
else
    compdef _PROGRAM PROGRAM
fi

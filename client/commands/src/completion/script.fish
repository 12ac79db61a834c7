# fish completion for PROGRAM: PROGRAM completion fish | source
function __PROGRAM_complete
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    test -n "$last"; or set last ''
    set -l found ($words[1] COMPLETE $words[2..] $last 2>/dev/null)
    set -q found[1]; or return
    set -l directive (string sub -s 2 -- $found[-1])
    set -e found[-1]
    # fish wants the whole word.
    set -l kept (string match -r -- '^--[^=]*=' $last)
    for candidate in $found
        echo "$kept$candidate"
    end
    if not set -q found[1]; and test (math "bitand($directive, 4)") -eq 0
        __fish_complete_path $last
    end
end
complete -c PROGRAM -f -a '(__PROGRAM_complete)'

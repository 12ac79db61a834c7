//! CRIU for a machine: Debian's, with what it calls itself.

use std::path::Path;
use std::process::Command;
use tests_harness::output_of;

/// What CRIU itself calls for a network namespace; the machine's image has none of it.
const PROGRAMS: [&str; 6] =
    ["criu", "ip", "iptables-save", "iptables-restore", "ip6tables-save", "ip6tables-restore"];

/// Puts it and them into `folder`, with their libraries below it.
pub(crate) fn copy_programs(folder: &Path) {
    let copy = format!(
        r#"cd "$1" && mkdir bin lib && for program in {}; do
             file=$(command -v $program) || {{ echo "no $program" >&2; exit 1; }}
             cp -L "$file" bin/
             ldd "$file" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | grep -v '/libc\.so\|/libm\.so' |
               xargs -r -I LIB cp -nL LIB lib/
           done
           cp -rL /usr/lib/*/xtables lib/
           mv bin/criu bin/criu.real
           printf '#!/bin/sh\nLD_LIBRARY_PATH=/payload/criu/lib XTABLES_LIBDIR=/payload/criu/lib/xtables exec /payload/criu/bin/criu.real "$@"\n' > bin/criu
           chmod 755 bin/criu"#,
        PROGRAMS.join(" "),
    );
    let _ = output_of(Command::new("sh").args(["-c", &copy, "sh"]).arg(folder));
}

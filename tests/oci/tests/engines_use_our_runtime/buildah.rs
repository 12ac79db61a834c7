//! buildah with `--isolation oci` and `--runtime`.

use crate::{IMAGE, ends_with};
use std::fs;
use tests_harness::{Podman, output_of};
use tests_oci::bundle::runtime;

const DOCKERFILE: &str = "\
FROM localhost/busybox:latest
RUN echo builder:x:1000:1000::/made:/bin/sh >>/etc/passwd && mkdir /made && chown builder /made
COPY word /made/word
USER builder
WORKDIR /made
ENV GREETING=hello
RUN echo \"$GREETING $(cat word) $(id -un)\" >text
RUN --mount=type=tmpfs,target=/scratch test -d /scratch && test \"$(cat text)\"
CMD [\"cat\", \"/made/text\"]
";

#[test]
fn buildah_builds_a_dockerfile_and_runs_in_a_working_container() {
    let storage = Podman::new(&runtime(), IMAGE);
    let context = storage.scratch().join("context");
    fs::create_dir(&context).expect("create the context");
    fs::write(context.join("Dockerfile"), DOCKERFILE).expect("write Dockerfile");
    fs::write(context.join("word"), "world").expect("write a file");
    let context = context.display().to_string();
    let build = ["--network", "none", "-t", "localhost/made"];
    let _ =
        output_of(&mut storage.buildah("bud", &[&build, [context.as_str()].as_slice()].concat()));
    let made = storage.ok(&["run", "--rm", "--network", "none", "localhost/made"]);
    assert_eq!(made, "hello world builder");

    fs::write(format!("{context}/Dockerfile"), format!("FROM {IMAGE}\nRUN exit 9\n"))
        .expect("write Dockerfile");
    let failed = ends_with(9, storage.buildah("bud", &[context.as_str()]));
    assert!(failed.contains("exit status 9"), "{failed}");

    let container = output_of(&mut storage.buildah_on_storage(&["from", "localhost/made"]));
    let container = container.trim_end();
    let run = |command: &[&str]| {
        storage.buildah("run", &[&["--network", "none", container, "--"], command].concat())
    };
    assert_eq!(output_of(&mut run(&["sh", "-c", "id -un; pwd"])), "builder\n/made\n");
    let _ = ends_with(4, run(&["sh", "-c", "exit 4"]));
    let _ = output_of(&mut storage.buildah_on_storage(&["rm", container]));
}

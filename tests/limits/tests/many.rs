//! Many containers, at once and one after another.

#![forbid(unsafe_code)]

use tests_engine::Stage;
use tests_harness::describe;

#[test]
fn fifty_containers_start_at_once_and_all_answer() {
    let stage = Stage::with(&["busybox"]);
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..50)
            .map(|number| {
                let daemon = &stage.daemon;
                scope.spawn(move || {
                    daemon.gantry(&[
                        "run",
                        "-d",
                        "--name",
                        &format!("c{number}"),
                        "busybox",
                        "sleep",
                        "100000",
                    ])
                })
            })
            .collect();
        for one in started {
            let output = one.join().unwrap();
            assert!(output.status.success(), "{}", describe(&output));
        }
    });
    assert_eq!(stage.daemon.gantry_ok(&["ps", "-q"]).lines().count(), 50);
    let format = "{{(index .NetworkSettings.Networks \"bridge\").IPAddress}}";
    let mut addresses: Vec<String> = (0..50)
        .map(|number| stage.daemon.gantry_ok(&["inspect", "-f", format, &format!("c{number}")]))
        .collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 50, "two containers share an address");
    for number in [0, 25, 49] {
        assert_eq!(
            stage.daemon.gantry_ok(&["exec", &format!("c{number}"), "echo", "here"]),
            "here\n"
        );
    }
}

#[test]
fn a_hundred_short_containers_in_sequence_leave_nothing() {
    let stage = Stage::with(&["busybox"]);
    for number in 0..100 {
        let printed =
            stage.daemon.gantry_ok(&["run", "--rm", "busybox", "echo", &number.to_string()]);
        assert_eq!(printed.trim(), number.to_string());
    }
}

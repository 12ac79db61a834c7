//! Links the program to begin at its own entry (`kernel_sys`, `early_seal`).

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("x86_64") {
        println!("cargo::rustc-link-arg-bins=-Wl,--entry=gantry_runtime_entry");
    }
}

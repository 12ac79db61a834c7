//! The program in the built-in `hello-world` image: prints a greeting and ends.
//!
//! It runs in an image that has nothing else, so that it needs neither a C library nor a dynamic
//! linker, and it is small enough (a few KB) to be carried inside the daemon.

#![no_std]
#![no_main]

use core::arch::asm;

const GREETING: &str = "
Hello from Gantry!
If you can read this, all five programs work together.

What just happened:
 1. The client (gantry) asked the daemon for a container of the image hello-world.
 2. The daemon (gantryd) made one: a record, a network address, a configuration.
 3. The supervisor (gantry-supervisor) put the image's layers together as its root file system
    and launched a shim for it.
 4. The shim (containerd-shim-gantry-v2) let the runtime build the container's namespaces,
    cgroups and mounts, and start this program inside.
 5. What this program prints goes from the shim straight back to your terminal.

Try something with more in it:
 $ gantry run -it debian bash

";

#[cfg(target_arch = "x86_64")]
mod number {
    pub(crate) const WRITE: usize = 1;
    pub(crate) const EXIT_GROUP: usize = 231;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub(crate) const WRITE: usize = 64;
    pub(crate) const EXIT_GROUP: usize = 94;
}

/// One system call with up to three arguments.
fn system_call(number: usize, a: usize, b: usize, c: usize) -> isize {
    let result: isize;
    // SAFETY: only write(2) on a string constant's bytes and exit_group(2) are made through here;
    // neither writes to our memory. The clobbers are those of the architecture's convention.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c,
            options(nostack));
    }
    result
}

fn exit(code: usize) -> ! {
    system_call(number::EXIT_GROUP, code, 0, 0);
    loop {}
}

/// Where the kernel begins.
// SAFETY: the name is the linker's entry point; nothing else in this program defines it.
#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    let mut rest = GREETING.as_bytes();
    while !rest.is_empty() {
        match usize::try_from(system_call(number::WRITE, 1, rest.as_ptr() as usize, rest.len())) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(_) => exit(1),
        }
    }
    exit(0)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(2)
}

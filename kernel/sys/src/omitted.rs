//! What the static programs leave out of the libraries below them: functions that Rust's own library
//! calls, and whose answer "there is nothing" takes the code behind them out of the program.
//!
//! docs/flows/run-cost.md, "The size of the program", has what that saves.

/// Says that the bounds of a thread's stack are not known.
///
/// Rust's start-up asks, to tell an overflow of the stack from other faults. For the main thread
/// glibc reads the answer from `/proc/self/maps`, with `scanf` and every kind of number behind it.
/// Without an answer an overflow still ends the program by a signal, at the kernel's guard.
///
/// # Safety
/// Nothing is read or written.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_getattr_np(
    _thread: libc::pthread_t,
    _attributes: *mut libc::pthread_attr_t,
) -> libc::c_int {
    libc::ENOSYS
}

/// Says that the stack has no frames.
///
/// A panic that is to print a backtrace asks. These programs have neither tables to unwind by
/// (`xtask/static.ld`) nor symbols to name frames with; the panic's message and place are printed
/// all the same.
///
/// # Safety
/// Nothing is read, written or called.
#[unsafe(no_mangle)]
unsafe extern "C" fn _Unwind_Backtrace(
    _frame: *const libc::c_void,
    _argument: *mut libc::c_void,
) -> libc::c_int {
    const END_OF_STACK: libc::c_int = 5;
    END_OF_STACK
}

//! What the static programs leave out of the libraries below them: functions that Rust's own library or
//! the C library calls, with an answer of our own that takes the code behind them out of the program.
//!
//! An archive's members come whole, each with all that it names. A few names, most of them on paths that
//! these programs never take, bring stdio, `printf`, locales, character sets, message catalogues and
//! through these the dynamic loader. Where another C library, or another version of it, asks for none of
//! these names, the linker drops what stands here.
//!
//! docs/flows/run-cost.md, "The size of the program", has what that saves.

#![cfg_attr(test, allow(dead_code, reason = "the tests call some; only programs export them"))]

use rustix::process::{Resource, getrlimit};
use rustix::thread::sched_getaffinity;
use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::ptr;

/// Functions of which nothing but the answer is wanted. Where Rust calls one, its parameters let the
/// compiler see what follows from the answer.
macro_rules! functions {
    ($($name:literal),+; fn $parameters:tt -> $answer:ty = $value:expr) => { $( const _: () = {
        #[cfg_attr(not(test), unsafe(export_name = $name))]
        extern "C" fn function $parameters -> $answer {
            $value
        }
    }; )+ };
}

// Never called: `malloc_stats` and `malloc_info`, and the check of an array that `fork` walks, print with
// these; nothing unwinds, but Rust's own library is compiled for it.
functions! {
    "fprintf", "fwrite", "_IO_fputs", "__snprintf",
    "_Unwind_Resume", "_Unwind_SetGR", "_Unwind_SetIP", "_Unwind_GetIPInfo", "_Unwind_GetRegionStart",
    "_Unwind_GetLanguageSpecificData", "_Unwind_GetTextRelBase", "_Unwind_GetDataRelBase";
    fn() -> ! = std::process::abort()
}

// Nothing to do: `fork` locks the streams of stdio and walks along them, and there are none; the start
// looks up the locale's classes of characters, which nobody asks for, and the folders of libraries, of
// which none is ever loaded.
functions! {
    "_IO_list_lock", "_IO_list_unlock", "_IO_list_resetlock",
    "_IO_iter_begin", "_IO_iter_end", "_IO_iter_next", "_IO_iter_file",
    "__ctype_init", "_dl_init_paths";
    fn() -> *const c_void = ptr::null()
}

// The bounds of a thread's stack are not known. Rust's start-up asks, to tell an overflow of the stack from
// other faults; for the main thread glibc reads `/proc/self/maps`, with `scanf` and every kind of number
// behind it. An overflow still ends the program by a signal, at the kernel's guard.
functions! {
    "pthread_getattr_np"; fn(_: libc::pthread_t, _: *mut libc::pthread_attr_t) -> c_int = libc::ENOSYS
}

// The stack has no frames (the number says that its end is reached). A panic that is to print a backtrace
// asks. There are neither tables to unwind by (`xtask/static.ld`) nor symbols to name frames with; the
// panic's message and place are printed all the same.
functions! { "_Unwind_Backtrace"; fn(_: *const c_void, _: *mut c_void) -> c_int = 5 }

/// The stream that `malloc_stats` prints on.
#[cfg_attr(not(test), unsafe(export_name = "stderr"))]
static NO_STREAM: usize = 0;

/// Ends the program for an assertion of the C library, with its words.
///
/// The library's own translates them and prints them through stdio.
///
/// # Safety
/// All but `line` are strings that end with a null byte, or null.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn __assert_fail(
    assertion: *const c_char,
    file: *const c_char,
    line: c_uint,
    function: *const c_char,
) -> ! {
    let [assertion, file, function] = [assertion, file, function].map(|text| {
        if text.is_null() {
            return "?".into();
        }
        // SAFETY: the caller's promise.
        unsafe { CStr::from_ptr(text) }.to_string_lossy()
    });
    eprintln!("{file}:{line}: {function}: Assertion `{assertion}' failed.");
    std::process::abort()
}

/// What an error number means, which every error text of the kernel's ends with.
///
/// The library's own looks for a translation, although these programs set no locale.
///
/// # Safety
/// `buffer` has room for `length` bytes.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn __strerror_r(
    number: c_int,
    buffer: *mut c_char,
    length: libc::size_t,
) -> *const c_char {
    unsafe extern "C" {
        // The same words, untranslated: https://man7.org/linux/man-pages/man3/strerror.3.html
        safe fn strerrordesc_np(number: c_int) -> *const c_char;
    }
    let known = strerrordesc_np(number);
    if !known.is_null() || length == 0 {
        return known;
    }
    let text = format!("Unknown error {number}");
    let count = text.len().min(length - 1);
    // SAFETY: the null byte is the last that there is room for, if the caller keeps its promise.
    unsafe {
        buffer.copy_from_nonoverlapping(text.as_ptr().cast(), count);
        buffer.add(count).write(0);
    }
    buffer
}

/// What Rust's library, `rustix` and `posix_spawn` ask; of anything else no limit is known.
///
/// The library's own reads files below `/proc` and `/sys` for the rest.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn sysconf(name: c_int) -> c_long {
    // SAFETY: reads the auxiliary vector, which is there from the start.
    let auxiliary = |kind| unsafe { libc::getauxval(kind) }.cast_signed();
    match name {
        libc::_SC_PAGESIZE => auxiliary(libc::AT_PAGESZ),
        libc::_SC_CLK_TCK => auxiliary(libc::AT_CLKTCK),
        libc::_SC_NPROCESSORS_ONLN => __get_nprocs().into(),
        libc::_SC_OPEN_MAX => {
            let limit = getrlimit(Resource::Nofile).current;
            limit.and_then(|limit| limit.try_into().ok()).unwrap_or(-1)
        }
        _ => -1,
    }
}

/// The same under the name that the C library uses itself.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn __sysconf(name: c_int) -> c_long {
    sysconf(name)
}

/// How many CPUs the program may use: `malloc` asks before it makes room for another thread.
///
/// The library's own reads `/sys` where the kernel does not answer.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn __get_nprocs() -> c_int {
    let count = sched_getaffinity(None).map_or(1, |cpus| cpus.count());
    c_int::try_from(count).unwrap_or(c_int::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" {
        /// The GNU one, which answers with the text: `libc` has the one that answers with a number.
        fn strerror_r(number: c_int, buffer: *mut c_char, length: libc::size_t) -> *const c_char;
    }

    #[test]
    fn error_texts_are_the_c_librarys() {
        for number in -2..600 {
            for length in [1, 16, 64] {
                let text = |function: unsafe extern "C" fn(_, _, _) -> _| {
                    let mut buffer = [1; 64];
                    // SAFETY: the buffer has room for so much, and the answer is a string.
                    unsafe { CStr::from_ptr(function(number, buffer.as_mut_ptr(), length)) }
                        .to_owned()
                };
                assert_eq!(text(__strerror_r), text(strerror_r), "{number}, {length} bytes");
            }
        }
    }

    #[test]
    fn settings_of_the_system_are_the_c_librarys() {
        for name in
            [libc::_SC_PAGESIZE, libc::_SC_CLK_TCK, libc::_SC_OPEN_MAX, libc::_SC_NPROCESSORS_ONLN]
        {
            // SAFETY: asks for a number.
            assert_eq!(sysconf(name), unsafe { libc::sysconf(name) }, "{name}");
        }
    }
}

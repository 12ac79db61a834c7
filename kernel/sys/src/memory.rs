//! The C library's allocator.

/// Makes the allocator give freed memory back to the kernel: large blocks always come from
/// `mmap(2)` and go with `munmap(2)`, and the heap's end is trimmed early. By default glibc raises
/// both limits for ever once a large block has been freed, so that a program keeps the size of its
/// busiest moment. Threads share two heaps: each would get one of its own, and only the first of
/// them ever shrinks.
///
/// <https://man7.org/linux/man-pages/man3/mallopt.3.html>
pub fn give_back_freed() {
    const LARGE: libc::c_int = 128 << 10;
    const SLACK: libc::c_int = 32 << 10;
    const HEAPS: libc::c_int = 2;
    // SAFETY: mallopt only sets parameters; it is to be called before threads are started, and
    // fails by ignoring what it does not know.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, SLACK);
        libc::mallopt(libc::M_TOP_PAD, SLACK);
        libc::mallopt(libc::M_ARENA_MAX, HEAPS);
    }
}

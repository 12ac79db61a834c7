//! An allocator for programs that soon end.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are handed out once, from the first to the last.
const SIZE: usize = 1 << 20;
/// Made present in one call when its first byte is handed out: for a fraction of what a fault costs for
/// each page, and not much more than what will be used.
const STEP: usize = 16 << 10;

/// A global allocator that hands out one block from its first byte to its last, and takes back only
/// what it handed out last. When the block is used up, the C library's `malloc` does the rest: a
/// program that runs on for long does not grow by this.
///
/// A command of a runtime reads a document of some ten kilobytes into a thousand pieces, works for
/// milliseconds, and ends. Looking for a place for each piece, and putting it back, was a third of its
/// own instructions.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Arena {
    block: UnsafeCell<[u8; SIZE]>,
    /// How many of the block's bytes are handed out.
    taken: AtomicUsize,
    /// How many have pages.
    present: AtomicUsize,
}

// SAFETY: bytes of the block belong to whoever got them from `take`, which gives none out twice; the
// arena itself never looks at them.
unsafe impl Sync for Arena {}

impl Arena {
    /// An arena of which nothing is handed out.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "for a static, once in a program")]
    pub const fn new() -> Self {
        Self {
            block: UnsafeCell::new([0; SIZE]),
            taken: AtomicUsize::new(0),
            present: AtomicUsize::new(0),
        }
    }

    /// Hands out bytes of the block, if there are so many left.
    fn take(&self, layout: Layout) -> Option<*mut u8> {
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let start = taken.checked_next_multiple_of(layout.align())?;
            let end = start.checked_add(layout.size()).filter(|end| *end <= SIZE)?;
            match self.move_end(taken, end) {
                Ok(_) => {
                    if end > self.present.load(Ordering::Relaxed) {
                        self.make_present(end);
                    }
                    // SAFETY: `start` is within the block. The block is aligned to more than any layout
                    // here: larger alignments than a page's are left to `System`.
                    return Some(unsafe { self.block.get().cast::<u8>().add(start) });
                }
                Err(now) => taken = now,
            }
        }
    }

    /// Makes the pages up to an end present, and those that will be needed soon. Two threads at once
    /// do a little for nothing.
    #[cold]
    fn make_present(&self, end: usize) {
        let from = self.present.load(Ordering::Relaxed);
        let to = end.next_multiple_of(STEP).min(SIZE);
        self.present.store(to, Ordering::Relaxed);
        // SAFETY: both are within the block; it makes pages present as a write of what they have
        // would. Where the kernel cannot (before Linux 5.14), each comes with its first use.
        unsafe {
            let start = self.block.get().cast::<u8>().add(from);
            libc::madvise(start.cast(), to.saturating_sub(from), libc::MADV_POPULATE_WRITE);
        }
    }

    fn move_end(&self, from: usize, to: usize) -> Result<usize, usize> {
        self.taken.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed)
    }

    /// Where in the block something is, if it is there.
    fn place(&self, pointer: *mut u8) -> Option<usize> {
        pointer.addr().checked_sub(self.block.get().addr()).filter(|place| *place < SIZE)
    }
}

// SAFETY: what `take` hands out is as large and as aligned as asked for, and nobody else's; the rest
// is `System`'s, and goes back there.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let own = if layout.align() <= align_of::<Self>() { self.take(layout) } else { None };
        // SAFETY: the caller's promise.
        own.unwrap_or_else(|| unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        match self.place(pointer) {
            // Not the last: it stays taken.
            Some(start) => _ = self.move_end(start + layout.size(), start),
            // SAFETY: the caller's promise; it came from there.
            None => unsafe { System.dealloc(pointer, layout) },
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(start) = self.place(pointer) else {
            // SAFETY: the caller's promise; it came from there.
            return unsafe { System.realloc(pointer, layout, size) };
        };
        let end = start.checked_add(size).filter(|end| *end <= SIZE);
        if end.is_some_and(|end| self.move_end(start + layout.size(), end).is_ok()) {
            return pointer;
        }
        // SAFETY: the caller promises that `size` is a size for this alignment, and that so many bytes
        // are at the pointer as the layout says; the new place has at least the smaller number.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(pointer, new, layout.size().min(size));
                self.dealloc(pointer, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static ARENA: Arena = Arena::new();

    #[test]
    fn pieces_are_apart_aligned_and_kept() {
        let layout = |size, align| Layout::from_size_align(size, align).unwrap();
        // SAFETY: what is handed out is used within its size, and given back with its layout.
        unsafe {
            let (a, b) = (layout(3, 1), layout(16, 16));
            let (first, second) = (ARENA.alloc(a), ARENA.alloc(b));
            assert!(ARENA.place(first).is_some() && second.addr().is_multiple_of(16));
            first.write_bytes(1, 3);
            second.write_bytes(2, 16);
            // The last one grows where it is; one before it moves.
            assert_eq!(ARENA.realloc(second, b, 100), second);
            let moved = ARENA.realloc(first, a, 50);
            assert_ne!(moved, first);
            assert_eq!(std::slice::from_raw_parts(moved, 3), [1; 3]);
            assert_eq!(std::slice::from_raw_parts(second, 16), [2; 16]);
            // What was handed out last comes again.
            ARENA.dealloc(moved, layout(50, 1));
            assert_eq!(ARENA.alloc(layout(5, 1)), moved);

            // More than there is.
            let large = layout(SIZE, 8);
            let elsewhere = ARENA.alloc_zeroed(large);
            assert_eq!((ARENA.place(elsewhere), *elsewhere.add(SIZE - 1)), (None, 0));
            let elsewhere = ARENA.realloc(elsewhere, large, 2 * SIZE);
            ARENA.dealloc(elsewhere, layout(2 * SIZE, 8));
            let page = layout(1, 1 << 16);
            let aligned = ARENA.alloc(page);
            assert!(aligned.addr().is_multiple_of(1 << 16));
            ARENA.dealloc(aligned, page);
        }
    }
}

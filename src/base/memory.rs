//! The allocator that counts: how much memory the current thread has taken and not given back.
//!
//! A script thread reads it in the interpreter's progress hook and stops a script that takes too much,
//! because the interpreter's own size limits do not see every growth. This is the one file of the crate
//! that may contain `unsafe`: a global allocator cannot be written without it.
#![expect(
    unsafe_code,
    reason = "GlobalAlloc is an unsafe trait; every method only forwards to the system allocator"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static NET_BYTES: Cell<isize> = const { Cell::new(0) };
}

/// Forwards to the system's allocator and keeps a net count for each thread.
#[derive(Debug)]
pub struct CountingAllocator;

fn count(bytes: isize) {
    // `try_with`: memory is still freed while a thread's locals are being torn down.
    let _counted = NET_BYTES.try_with(|net| net.set(net.get().wrapping_add(bytes)));
}

/// Bytes this thread has allocated minus bytes it has freed. Memory that changes threads makes the
/// figure drift, so compare two readings of one thread around one piece of work.
pub fn thread_net_bytes() -> isize {
    NET_BYTES.try_with(Cell::get).unwrap_or(0)
}

// SAFETY: every call is forwarded unchanged to `System`, which upholds the contract of `GlobalAlloc`;
// the counting touches only a thread-local integer and never allocates.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises about `layout` are passed on unchanged.
        let pointer = unsafe { System.alloc(layout) };
        if !pointer.is_null() {
            count(layout.size().cast_signed());
        }
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: `pointer` came from `alloc` above with this layout, as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises about `layout` are passed on unchanged.
        let pointer = unsafe { System.alloc_zeroed(layout) };
        if !pointer.is_null() {
            count(layout.size().cast_signed());
        }
        pointer
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promises are passed on unchanged.
        let moved = unsafe { System.realloc(pointer, layout, new_size) };
        if !moved.is_null() {
            count(new_size.cast_signed() - layout.size().cast_signed());
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taking_and_giving_back_is_counted() {
        let before = thread_net_bytes();
        let taken = vec![0u8; 1 << 20];
        assert!(thread_net_bytes() - before >= 1 << 20);
        drop(taken);
        assert!(thread_net_bytes() - before < 1 << 16);
    }
}

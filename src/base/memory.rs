//! The allocator that counts: how much memory the current thread has taken and not given back.
//!
//! A script thread reads it in the interpreter's progress hook and stops a script that takes too much,
//! because the interpreter's own size limits do not see every growth. The highest count is kept as well: what
//! one native takes and gives back between two looks shows only there. This is the one file of the crate
//! that may contain `unsafe`: a global allocator cannot be written without it.
#![expect(
    unsafe_code,
    reason = "GlobalAlloc is an unsafe trait; every method only forwards to the system allocator, whose one setting is C"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static BYTES: Bytes = const {
        Bytes {
            net: Cell::new(0),
            peak: Cell::new(0),
        }
    };
}

struct Bytes {
    net: Cell<isize>,
    peak: Cell<isize>,
}

/// Forwards to the system's allocator and keeps a net count for each thread.
#[derive(Debug)]
pub struct CountingAllocator;

fn count(bytes: isize) {
    // `try_with`: memory is still freed while a thread's locals are being torn down.
    let _counted = BYTES.try_with(|counted| {
        let net = counted.net.get().wrapping_add(bytes);
        counted.net.set(net);
        if net > counted.peak.get() {
            counted.peak.set(net);
        }
    });
}

/// Blocks from this size on are given back to the system when they are freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_BLOCK_BYTES: std::ffi::c_int = 1024 * 1024;

/// Makes the system's allocator give every large block back when it is freed. Left to itself the GNU library raises
/// its threshold with each large block it frees, up to 32 MiB, and then keeps what one greedy script took for as long as
/// the process lives, once for each thread (`mallopt(3)`, `M_MMAP_THRESHOLD`). Elsewhere this does nothing.
pub fn give_back_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const M_MMAP_THRESHOLD: std::ffi::c_int = -3;
        unsafe extern "C" {
            fn mallopt(parameter: std::ffi::c_int, value: std::ffi::c_int) -> std::ffi::c_int;
        }
        // SAFETY: `mallopt` sets one number of the allocator under the allocator's own lock, at any time; a refusal
        // leaves all as it was, and is no harm.
        let _set = unsafe { mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES) };
    }
}

/// Bytes this thread has allocated minus bytes it has freed. Memory that changes threads makes the
/// figure drift, so compare two readings of one thread around one piece of work.
pub fn thread_net_bytes() -> isize {
    BYTES.try_with(|counted| counted.net.get()).unwrap_or(0)
}

/// The highest [`thread_net_bytes`] since the thread began or last called [`restart_thread_peak`].
pub fn thread_peak_bytes() -> isize {
    BYTES.try_with(|counted| counted.peak.get()).unwrap_or(0)
}

/// Forgets the highest count: what the thread holds now is the highest.
pub fn restart_thread_peak() {
    let _restarted = BYTES.try_with(|counted| counted.peak.set(counted.net.get()));
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
        assert!(thread_peak_bytes() - before >= 1 << 20);
        restart_thread_peak();
        assert!(thread_peak_bytes() - before < 1 << 16);
    }
}

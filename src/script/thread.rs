//! Threads for scripts: with a stack that holds whatever a script can build.
//!
//! A chain of closures is dropped recursively, so the depth of the stack is what stands between a hostile
//! script and an abort of the process. Never run scripts on the threads of an async runtime.

use std::io;
use std::thread::{Builder, JoinHandle};

use crate::base::limits::SCRIPT_STACK_BYTES;

/// Starts a thread that may run scripts.
///
/// # Errors
/// When the system refuses the thread.
pub fn spawn_script_thread<T, F>(name: &str, body: F) -> io::Result<JoinHandle<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    Builder::new()
        .name(name.to_owned())
        .stack_size(SCRIPT_STACK_BYTES)
        .spawn(body)
}

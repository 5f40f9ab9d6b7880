//! Threads for scripts: with a stack that holds whatever a script can build.
//!
//! A chain of closures is dropped recursively, so the depth of the stack is what stands between a hostile
//! script and an abort of the process. Never run scripts on the threads of an async runtime.

use std::io;
use std::thread::{Builder, JoinHandle};

use crate::base::limits::SCRIPT_STACK_BYTES;

/// Starts a thread that may run any script.
///
/// # Errors
/// When the system refuses the thread.
pub fn spawn_script_thread<T, F>(name: &str, body: F) -> io::Result<JoinHandle<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    spawn_script_thread_with(SCRIPT_STACK_BYTES, name, body)
}

/// Starts a thread for scripts with a stack of this size. One smaller than [`SCRIPT_STACK_BYTES`] holds no chain of
/// closures as long as memory allows: such a script then ends the process.
///
/// # Errors
/// When the system refuses the thread.
pub fn spawn_script_thread_with<T, F>(stack_bytes: usize, name: &str, body: F) -> io::Result<JoinHandle<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    Builder::new().name(name.to_owned()).stack_size(stack_bytes).spawn(body)
}

//! Runs become steps.
//!
//! The engine takes queued runs from the store, runs their scripts turn by turn, and makes every outside
//! effect happen once: `turn` is one pass over a script, `step` a call to a provider, `effect` one that changes
//! something there, `look_up` the search for what one of unknown outcome did, `wait` a pause, `book`
//! what a turn writes, `interrupt` why it ends early, `parallel` its branches, `helpers` the threads for
//! them, `worker` the pool that drives it all,
//! `primitives` what scripts can call. It never learns how a run came to be, and names no type
//! of the interpreter, the database or the HTTP client.

pub mod backoff;
mod book;
mod effect;
mod helpers;
mod inbox;
pub mod interrupt;
mod live;
mod look_up;
mod parallel;
pub mod primitives;
pub mod rehearsal;
pub mod services;
mod step;
pub mod trial;
pub mod turn;
mod wait;
pub mod worker;

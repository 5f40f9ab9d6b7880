//! Runs become steps.
//!
//! The engine takes queued runs from the store, runs their scripts turn by turn, and makes every outside
//! effect happen once: `turn` is one pass over a script, `step` a call to a provider, `effect` one that changes
//! something there, `alone` what it has to know before that and nobody may change meanwhile, `keys` what makes a repeated one the same, `pace` how fast and whether a connection is asked, `beside` the same for reads outside of runs, `look_up` the search for what one of unknown
//! outcome did, `reserve` what is on its way already and what a step is about to move, `recollect` the search for what the store has forgotten, `wait` a pause, `time` whether the clock may end it, `parallel` the branches of a
//! turn, `book` what it writes, `interrupt` why it ends early, `settle` what it leaves. `worker` is the pool that drives
//! it all, `helpers` the threads for branches, `primitives` what scripts can call. It never learns how a run came to be,
//! and names no type of the interpreter, the database or the HTTP client.

mod alone;
mod apart;
mod arriving;
pub mod backoff;
mod beside;
mod book;
pub mod breaker;
mod effect;
mod helpers;
mod inbox;
pub mod interrupt;
mod keys;
mod live;
mod look_up;
mod pace;
mod parallel;
pub mod primitives;
pub mod rate;
mod recollect;
pub mod rehearsal;
mod reserve;
pub mod services;
mod settle;
mod step;
mod time;
pub mod trial;
pub mod turn;
mod wait;
pub mod worker;

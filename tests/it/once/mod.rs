//! Effects at providers that keep to other keys, or to none: once all the same.

mod deaths;
mod exclusive;
mod first;
mod ivy;
mod keys;
mod toy;

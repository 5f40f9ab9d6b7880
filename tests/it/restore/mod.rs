//! An older state of the store is put back: nothing is paid twice, nothing is forgotten, and a person has the word.

mod apart;
mod daemon;
mod decisions;
mod engine;
mod forgotten;
mod keyed;
mod slots;
mod thousand;

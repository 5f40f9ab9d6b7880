//! Tests of the store: the rules every store keeps, and what is particular to the one in a file.

mod care;
mod conformance;
mod damage;
mod deaths;
mod exclusive;
mod fates;
mod faulty;
mod file;
mod flipped;
mod make;
mod movement;
mod overlap;
mod plans;
mod power;
mod random;
mod schedules;

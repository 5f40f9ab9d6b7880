//! Treasury arithmetic as a whole: tables of worked cases, and what holds for every case.

mod random;
mod worked;

use super::{currency, decimal, money, random_cases};

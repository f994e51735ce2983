//! Makes fixed pieces of the hot path: what is counted by `penstock-count` and timed by criterion.

pub mod life;
pub mod pages;
pub mod work;

//! The data plane of verification: a bank's question comes in, is decided, recorded and answered, without Python.
//!
//! Read from the bottom up. What decides owns no socket, no clock and no log:
//!
//! - [`question`]: who asks what, and when. [`ruling`]: what came of it and why, and what of it is recorded.
//! - [`desk`]: the one place where a question is ruled on.
//!
//! What records knows no network: [`log_tree`], [`log_head`], [`log_entry`], [`log_scan`], [`log_file`], and
//! [`committer`], the one thread that writes. What talks: [`wire`], [`wire_write`]. [`metrics`] counts.
#![deny(unsafe_code)]

pub mod desk;
pub mod question;
pub mod ruling;

pub mod committer;
pub mod log_entry;
pub mod log_file;
#[cfg(test)]
mod log_file_tests;
pub mod log_head;
pub mod log_scan;
pub mod log_tree;
pub mod metrics;
pub mod wire;
pub mod wire_write;

//! The data plane of verification: a bank's question comes in, is decided, recorded and answered, without Python.
//!
//! Read from the bottom up. What decides owns no socket, no clock and no log:
//!
//! - [`question`]: who asks what, and when. [`ruling`]: what came of it and why, and what of it is recorded.
//! - [`desk`]: the one place where a question is ruled on.
#![deny(unsafe_code)]

pub mod desk;
pub mod question;
pub mod ruling;

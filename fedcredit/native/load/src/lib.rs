//! A load generator for unary gRPC calls over mutual TLS.
//!
//! Calls are due on a schedule that does not wait for answers, and a call's latency counts from when it was due, whatever
//! kept it from being sent: a server that stalls is seen to stall. Read from the bottom up: [`histogram`], [`schedule`],
//! [`headers`] and [`conversation`] own no socket and no clock; [`link`] has the socket; [`run`] the clock. [`proof`] checks
//! answers of verification.
#![forbid(unsafe_code)]

pub mod conversation;
pub mod headers;
pub mod histogram;
pub mod link;
pub mod outcome;
pub mod proof;
pub mod run;
pub mod schedule;

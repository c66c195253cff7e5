//! The data plane of verification: a bank's question comes in, is decided, recorded and answered, without Python.
//!
//! Read from the bottom up. What decides owns no socket, no clock and no log:
//!
//! - [`trouble`]: what is wrong with a file. [`map`]: a file's bytes. [`normal`]: the normal form of a text to match.
//!   [`hexadecimal`]: bytes as a text.
//! - [`index`]: the records of one item by subject; `index_layout` and `index_check` read a file, [`index_build`] with
//!   [`index_columns`] and `index_write` makes one.
//! - [`strict`]: JSON without repeated keys. [`days`]: the calendar. [`program`]: a compiled predicate, asked of one
//!   subject; [`program_text`] is its form in JSON, [`program_nodes`] what it is made of, `program_tree`
//!   makes and [`program_run`] evaluates it.
//! - [`canonical`]: the one form of JSON in a token. [`subjects`]: codes with check characters. [`consent`]: what a
//!   consent says and allows; [`token`] reads it.
//! - [`question`]: who asks what, and when. [`ruling`]: what came of it and why, and what of it is recorded.
//! - [`snapshot`]: all that questions are ruled by, from JSON ([`snapshot_text`]); [`kinds`]: predicates that are served;
//!   [`rules`]: which questions are admitted; [`limits`]: what is used up, in [`parts`].
//! - [`desk`]: the one place where a question is ruled on; `desk_batch`: many at once.
//!
//! What records knows no network: [`log_tree`], [`log_head`], [`log_entry`], [`log_scan`], [`log_journal`] with
//! [`log_sync`], [`log_file`], and [`committer`], the one thread that writes. [`facts`]: what of a ruling is recorded.
//!
//! What talks: [`wire`] and [`wire_write`], [`identity`] and [`tls`], [`grpc`], [`answers`], [`calls`], [`connection`]
//! over `entrance` and [`gather`], and [`server`] over all. [`arrival`] and [`room`] say who comes in when many do;
//! `turnstile` ends calls without a place before the library has seen their `frames`. [`metrics`] counts.
#![deny(unsafe_code)]

pub mod canonical;
pub mod consent;
pub mod days;
pub mod desk;
mod desk_batch;
pub mod hexadecimal;
pub mod index;
pub mod index_build;
mod index_check;
pub mod index_columns;
pub mod index_layout;
mod index_write;
pub mod kinds;
pub mod limits;
pub mod map;
pub mod normal;
pub mod parts;
pub mod program;
pub mod program_nodes;
pub mod program_run;
pub mod program_text;
mod program_tree;
pub mod question;
pub mod rules;
pub mod ruling;
pub mod snapshot;
pub mod snapshot_text;
pub mod strict;
pub mod subjects;
pub mod token;
pub mod trouble;

pub mod answers;
pub mod arrival;
pub mod calls;
pub mod committer;
pub mod connection;
mod entrance;
pub mod facts;
mod frames;
pub mod gather;
pub mod grpc;
pub mod identity;
pub mod log_entry;
pub mod log_file;
#[cfg(test)]
mod log_file_tests;
pub mod log_head;
pub mod log_journal;
#[cfg(test)]
mod log_journal_tests;
pub mod log_scan;
pub mod log_sync;
pub mod log_tree;
pub mod metrics;
pub mod room;
pub mod server;
pub mod service;
pub mod settings;
pub mod tls;
mod turnstile;
pub mod wire;
pub mod wire_write;

//! What the server is started with. JSON from the control plane; an unknown key is an error.

use std::path::PathBuf;

use serde::Deserialize;

use crate::hexadecimal::unhex;
use crate::log_head::Head;

const SCHEMA: &str = "fedcredit-serve/1";

/// The settings. Bounds that are not given are the ones of `Default`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    schema: String,
    /// Address and port to listen at; port 0 takes a free one.
    pub listen: String,
    /// The folder of the log.
    pub folder: PathBuf,
    /// Threads that talk; 0: one a core.
    #[serde(default)]
    pub threads: usize,
    #[serde(default = "default_connections")]
    pub max_connections: usize,
    /// Questions under way, over all callers; one that comes when there are so many is turned away at once.
    #[serde(default = "default_in_flight")]
    pub max_in_flight: usize,
    /// When questions wait longer than the target, fewer may be under way, but never fewer than these.
    #[serde(default = "default_least_in_flight")]
    pub least_in_flight: usize,
    /// What a question may wait on average, beyond what the log takes.
    #[serde(default = "default_target_wait")]
    pub target_wait_ms: usize,
    /// Batches under way, each of which takes up to 8 MiB for its request.
    #[serde(default = "default_batches")]
    pub max_batches: usize,
    known: Option<KnownHead>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownHead {
    size: u64,
    root: String,
}

fn default_connections() -> usize {
    256
}

fn default_in_flight() -> usize {
    1024
}

fn default_least_in_flight() -> usize {
    512
}

fn default_target_wait() -> usize {
    8
}

fn default_batches() -> usize {
    8
}

impl Settings {
    /// The settings in a text; an error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let settings: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if settings.schema != SCHEMA {
            return Err(format!("schema is not {SCHEMA}"));
        }
        let bounds = [
            ("threads", settings.threads, 0, 256),
            ("max_connections", settings.max_connections, 1, 65_536),
            ("max_in_flight", settings.max_in_flight, 1, 65_536),
            ("least_in_flight", settings.least_in_flight, 1, 65_536),
            ("target_wait_ms", settings.target_wait_ms, 1, 10_000),
            ("max_batches", settings.max_batches, 1, 256),
        ];
        for (name, value, low, high) in bounds {
            if !(low..=high).contains(&value) {
                return Err(format!("{name} is not {low} to {high}"));
            }
        }
        settings.known_head()?;
        Ok(settings)
    }

    /// A head of the log that was kept elsewhere.
    pub fn known_head(&self) -> Result<Option<Head>, String> {
        let Some(known) = &self.known else { return Ok(None) };
        let root = unhex(&known.root).ok_or("known.root is not 32 bytes in hexadecimal")?;
        Ok(Some(Head { size: known.size, root }))
    }
}

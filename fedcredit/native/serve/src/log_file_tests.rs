use std::fs;
use std::path::Path;

use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::hexadecimal::{hex, unhex};
use crate::log_entry::{Fact, begin};
use crate::log_file::{CHECKPOINT, CHECKS, Draft, ENTRIES, LogError, LogFile};
use crate::log_head::Head;
use crate::log_journal::JOURNAL;
use crate::log_tree::{Hash, leaf_hash};

pub(crate) const NOW: i64 = 1_777_896_000_007;

pub(crate) fn key() -> SigningKey {
    SigningKey::from_bytes(&[5; 32])
}

pub(crate) fn line(n: u64) -> Draft {
    Draft::Line(begin("verified", &[("n", Fact::Number(n))]).unwrap())
}

pub(crate) fn open(folder: &Path, known: Option<&Head>) -> Result<(LogFile, u64), LogError> {
    let mut seen = 0;
    let log = LogFile::open(folder, "tax", key(), known, NOW, &mut |_, _| {
        seen += 1;
        Ok(())
    })?;
    Ok((log, seen))
}

pub(crate) fn code(folder: &Path) -> &'static str {
    open(folder, None).map(|_| "").unwrap_or_else(|error| error.code)
}

fn filled(batches: &[u64]) -> (TempDir, Head) {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = open(folder.path(), None).unwrap();
    for size in batches {
        log.append((0..*size).map(line).collect(), NOW).unwrap();
    }
    let head = log.head();
    (folder, head)
}

/// RFC 9162, section 2.1.3.2.
fn root_of(path: &[Hash], leaf: Hash, index: u64, size: u64) -> Hash {
    let node = |left: &Hash, right: &Hash| Sha256::new().chain_update([1]).chain_update(left).chain_update(right);
    let (mut at, mut last, mut root) = (index, size - 1, leaf);
    for sibling in path {
        if at & 1 == 1 || at == last {
            root = node(sibling, &root).finalize().into();
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            root = node(&root, sibling).finalize().into();
        }
        (at, last) = (at >> 1, last >> 1);
    }
    assert_eq!(last, 0);
    root
}

#[test]
fn every_entry_has_a_path_to_the_signed_root_and_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = open(folder.path(), None).unwrap();
    let mut total = 0;
    for size in [1, 2, 5, 64, 3] {
        let batch = log.append((0..size).map(line).collect(), NOW).unwrap();
        total += size;
        let head = log.head();
        assert_eq!(head.size, total);
        for place in 0..size as usize {
            let path: Vec<Hash> = batch.path(place).copied().collect();
            let root = root_of(&path, leaf_hash(batch.line(place)), batch.sequence(place), total);
            assert_eq!(root, head.root);
        }
        assert_eq!(Head::read(batch.head.as_bytes(), "tax", &key().verifying_key()), Some(head));
    }
    let before = log.head();
    drop(log);
    let (log, seen) = open(folder.path(), Some(&before)).unwrap();
    assert_eq!((log.head(), seen), (before, total));
}

#[test]
fn one_process_holds_a_log() {
    let (folder, _) = filled(&[1]);
    let held = open(folder.path(), None).unwrap();
    assert_eq!(code(folder.path()), "LOCKED");
    drop(held);
    assert_eq!(code(folder.path()), "");
}

#[test]
fn what_a_crash_left_of_one_batch_is_set_aside() {
    let (folder, head) = filled(&[3]);
    let (heads, entries) = (folder.path().join(CHECKPOINT), folder.path().join(ENTRIES));
    let before = (fs::read(&heads).unwrap(), fs::read(&entries).unwrap());
    open(folder.path(), None).unwrap().0.append((0..4).map(line).collect(), NOW).unwrap();
    let after = fs::read(&entries).unwrap();
    for cut in before.1.len() + 1..=after.len() {
        // As of a log that was written without a journal, or of a batch that is too long for one.
        fs::remove_file(folder.path().join(JOURNAL)).unwrap();
        fs::write(&heads, &before.0).unwrap();
        fs::write(&entries, &after[..cut]).unwrap();
        let (log, seen) = open(folder.path(), Some(&head)).unwrap();
        assert_eq!((log.head().size, seen), (4, 3));
        drop(log);
        let text = fs::read_to_string(&entries).unwrap();
        let recovered = format!("\"unacknowledged_bytes\":{}", cut - before.1.len());
        assert!(text.lines().last().unwrap().contains(&recovered), "{text}");
        assert_eq!(open(folder.path(), None).unwrap().1, 4);
    }
}

#[test]
fn two_batches_behind_a_head_are_no_crash() {
    let (folder, _) = filled(&[3]);
    let heads = fs::read(folder.path().join(CHECKPOINT)).unwrap();
    let (mut log, _) = open(folder.path(), None).unwrap();
    log.append(vec![line(1)], NOW).unwrap();
    log.append(vec![line(1)], NOW).unwrap();
    drop(log);
    fs::write(folder.path().join(CHECKPOINT), heads).unwrap();
    assert_eq!(code(folder.path()), "AUDIT_TAMPERED");
}

#[test]
fn a_flipped_bit_in_any_byte_is_found() {
    let (folder, _) = filled(&[2, 1]);
    for (name, used) in [(ENTRIES, usize::MAX), (CHECKPOINT, 200)] {
        let path = folder.path().join(name);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len().min(used) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(&path, bad).unwrap();
            assert!(matches!(code(folder.path()), "AUDIT_ENTRY" | "AUDIT_TAMPERED" | "AUDIT_HEAD"), "{name} {at}");
        }
        fs::write(&path, &good).unwrap();
        assert_eq!(code(folder.path()), "");
    }
}

#[test]
fn a_log_that_was_cut_emptied_or_put_back_is_found() {
    let (folder, head) = filled(&[2, 1, 2]);
    let path = folder.path().join(ENTRIES);
    let good = fs::read(&path).unwrap();
    let lines: Vec<&[u8]> = good.split_inclusive(|byte| *byte == b'\n').collect();
    for bad in
        [lines[..4].concat(), Vec::new(), [lines[1], lines[0]].concat(), [&good[..], lines[0], lines[1]].concat()]
    {
        fs::write(&path, bad).unwrap();
        assert_ne!(code(folder.path()), "");
    }
    fs::write(&path, &good).unwrap();
    fs::remove_file(folder.path().join(CHECKPOINT)).unwrap();
    assert_eq!(code(folder.path()), "AUDIT_TAMPERED");
    let (other, _) = filled(&[2, 1, 1]);
    assert_eq!(open(other.path(), Some(&head)).err().unwrap().code, "AUDIT_ROLLED_BACK");
    let (fork, _) = filled(&[5, 7]);
    let wrong = Head { size: 5, root: [1; 32] };
    assert_eq!(open(fork.path(), Some(&wrong)).err().unwrap().code, "AUDIT_ROLLED_BACK");
}

#[test]
fn checks_of_a_batch_are_found_again_or_missed() {
    let folder = tempfile::tempdir().unwrap();
    let records: Vec<Vec<u8>> = vec![vec![1; 72], vec![2; 144]];
    let (mut log, _) = open(folder.path(), None).unwrap();
    let drafts = records.iter().cloned().map(|records| {
        let hash = hex(&Sha256::digest(&records));
        let bytes = records.len() as u64;
        let begin = move |at| {
            let facts = [
                ("checks_at", Fact::Number(at)),
                ("checks_bytes", Fact::Number(bytes)),
                ("checks_hash", Fact::Text(&hash)),
            ];
            begin("verify_batch", &facts)
        };
        Draft::Checks { records, begin: Box::new(begin) }
    });
    log.append(drafts.collect(), NOW).unwrap();
    drop(log);
    let path = folder.path().join(CHECKS);
    let read = || {
        let mut found = Vec::new();
        LogFile::open(folder.path(), "tax", key(), None, NOW, &mut |line, checks| {
            let facts: serde_json::Value = serde_json::from_slice(line).unwrap();
            let facts = &facts["facts"];
            let hash = unhex(facts["checks_hash"].as_str().unwrap()).unwrap();
            let (at, bytes) = (facts["checks_at"].as_u64().unwrap(), facts["checks_bytes"].as_u64().unwrap());
            found.push(checks.read(at, bytes, &hash)?);
            Ok(())
        })
        .map(|_| found)
    };
    assert_eq!(read().unwrap(), records);
    let good = fs::read(&path).unwrap();
    fs::write(&path, [&good[..], b"what a crash left"].concat()).unwrap();
    assert_eq!(read().unwrap(), records);
    assert_eq!(fs::read(&path).unwrap(), good);
    for bad in [&good[1..], &good[..good.len() - 1], &[]] {
        fs::write(&path, bad).unwrap();
        assert_eq!(read().unwrap_err().code, "AUDIT_TAMPERED");
    }
}

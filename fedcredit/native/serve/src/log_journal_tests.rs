use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::log_file::{CHECKPOINT, Draft, ENTRIES, LogFile};
use crate::log_file_tests::{NOW, code, key, line, open};
use crate::log_head::{Head, SLOT_BYTES};
use crate::log_journal::{Commit, Found, HALF_BYTES, JOURNAL};

const PAGE: usize = 4096;

/// What is on a disk.
type Files = BTreeMap<&'static str, Vec<u8>>;

fn files(folder: &Path) -> Files {
    [ENTRIES, CHECKPOINT, JOURNAL].map(|name| (name, fs::read(folder.join(name)).unwrap())).into()
}

fn put(files: &Files) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, data) in files {
        fs::write(folder.path().join(name), data).unwrap();
    }
    folder
}

fn append(log: &mut LogFile, entries: u64) {
    log.append((0..entries).map(line).collect(), NOW).unwrap();
}

/// A log and what is on the disk of it: before and after these batches, of which nothing but the journal was synced.
fn crashed(batches: &[u64]) -> (Files, Vec<Files>) {
    let folder = tempfile::tempdir().unwrap();
    append(&mut open(folder.path(), None).unwrap().0, 3);
    let (mut log, _) = open(folder.path(), None).unwrap();
    let before = files(folder.path());
    let after = batches.iter().map(|batch| {
        append(&mut log, *batch);
        files(folder.path())
    });
    let after = after.collect();
    (before, after)
}

/// Opens what a machine without power left, and again. All that was acknowledged is there, and nothing else but that it
/// was restored.
fn comes_back(disk: &Files, acknowledged: &[u8], how: &str) {
    let folder = put(disk);
    let lines = acknowledged.iter().filter(|byte| **byte == b'\n').count() as u64;
    let (log, seen) = open(folder.path(), None).unwrap_or_else(|error| panic!("{how}: {error:?}"));
    assert_eq!(seen, lines, "{how}");
    drop(log);
    let found = fs::read(folder.path().join(ENTRIES)).unwrap();
    let rest = String::from_utf8(found.strip_prefix(acknowledged).expect(how).to_vec()).unwrap();
    let there = disk[ENTRIES].iter().zip(acknowledged).take_while(|(there, line)| there == line).count();
    let lacked = acknowledged.len() - there;
    if lacked > 0 {
        assert!(rest.contains(&format!("{{\"restored_bytes\":{lacked}}}")), "{how}: {rest}");
    }
    assert_eq!(rest.lines().count(), usize::from(lacked > 0), "{how}");
    assert_eq!(open(folder.path(), None).unwrap().1, lines + u64::from(lacked > 0), "{how}");
}

/// The record at a place of a journal, of another generation.
fn of_generation(record: &[u8], generation: u64) -> Vec<u8> {
    let numbers: Vec<u64> = record[..48].chunks(8).map(|bytes| u64::from_be_bytes(bytes.try_into().unwrap())).collect();
    let end = 48 + (numbers[4] + numbers[5]) as usize;
    let mut out = record[..end].to_vec();
    out[8..16].copy_from_slice(&generation.to_be_bytes());
    let hash = blake3::hash(&out);
    out.extend_from_slice(hash.as_bytes());
    out.resize(out.len().next_multiple_of(PAGE), 0);
    out
}

fn generation(half: &[u8]) -> u64 {
    u64::from_be_bytes(half[8..16].try_into().unwrap())
}

#[test]
fn whatever_pages_are_lost_nothing_that_was_acknowledged_is() {
    let (before, after) = crashed(&[1, 60, 2, 40]);
    let last = &after[3];
    let (synced, acknowledged) = (before[ENTRIES].len(), &last[ENTRIES]);
    // Every length that the file may have got, and every set of pages that never came.
    let mut left: Vec<Vec<u8>> =
        (synced..acknowledged.len()).step_by(577).map(|cut| acknowledged[..cut].into()).collect();
    let pages = acknowledged.len().div_ceil(PAGE);
    for lost in 0..1usize << pages {
        let mut data = acknowledged.clone();
        for page in (0..pages).filter(|page| lost >> page & 1 == 1) {
            let end = data.len().min((page + 1) * PAGE);
            data[(page * PAGE).max(synced)..end].fill(0);
        }
        left.push(data);
    }
    for (number, entries) in left.into_iter().enumerate() {
        // A head of any age goes with them.
        let heads = after.iter().chain([&before]).nth(number % 5).unwrap()[CHECKPOINT].clone();
        let disk = [(ENTRIES, entries), (CHECKPOINT, heads), (JOURNAL, last[JOURNAL].clone())];
        comes_back(&disk.into(), acknowledged, &format!("entries {number}"));
    }
    // Each head is written in its own time, and one may have been under way.
    let heads: Vec<&Vec<u8>> = after.iter().chain([&before]).map(|files| &files[CHECKPOINT]).collect();
    for (number, (first, second)) in heads.iter().flat_map(|a| heads.iter().map(move |b| (a, b))).enumerate() {
        let mut both = [&first[..SLOT_BYTES], &second[SLOT_BYTES..]].concat();
        if number % 2 == 1 {
            both[60..].copy_from_slice(&last[CHECKPOINT][60..]);
        }
        let disk = [(ENTRIES, before[ENTRIES].clone()), (CHECKPOINT, both), (JOURNAL, last[JOURNAL].clone())];
        comes_back(&disk.into(), acknowledged, &format!("heads {number}"));
    }
}

#[test]
fn a_record_that_was_not_finished_was_not_acknowledged() {
    let (before, after) = crashed(&[5, 150]);
    let (first, second) = (&after[0], &after[1]);
    let changed: Vec<usize> = (0..2 * HALF_BYTES / PAGE)
        .filter(|page| first[JOURNAL][page * PAGE..][..PAGE] != second[JOURNAL][page * PAGE..][..PAGE])
        .collect();
    assert!(changed.len() > 2);
    for written in 0..(1 << changed.len()) - 1 {
        for entries in [&before, first] {
            let mut journal = first[JOURNAL].clone();
            for (_, page) in changed.iter().enumerate().filter(|(bit, _)| written >> bit & 1 == 1) {
                journal[page * PAGE..][..PAGE].copy_from_slice(&second[JOURNAL][page * PAGE..][..PAGE]);
            }
            let disk =
                [(ENTRIES, entries[ENTRIES].clone()), (CHECKPOINT, entries[CHECKPOINT].clone()), (JOURNAL, journal)];
            comes_back(&disk.into(), &first[ENTRIES], &format!("{written}"));
        }
    }
}

#[test]
fn a_half_is_written_over_when_what_it_holds_is_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = open(folder.path(), None).unwrap();
    // What is on the disk for certain: what was there when the half before this one was begun.
    let mut begun = vec![files(folder.path()); 2];
    let mut newest = 0;
    for round in 0..60 {
        let before = files(folder.path());
        append(&mut log, [1, 30, 80][round % 3]);
        let now = files(folder.path());
        let reached = generation(&now[JOURNAL]).max(generation(&now[JOURNAL][HALF_BYTES..]));
        if reached > newest {
            newest = reached;
            begun.push(before);
        }
        let mut disk = begun[begun.len() - 2].clone();
        disk.insert(JOURNAL, now[JOURNAL].clone());
        comes_back(&disk, &now[ENTRIES], &format!("round {round}"));
        if newest > 2 {
            // Older files are no crash's. They are made whole, or found; never believed.
            disk.extend(begun[begun.len() - 3].clone());
            disk.insert(JOURNAL, now[JOURNAL].clone());
            let old = put(&disk);
            match open(old.path(), None) {
                Ok((_, seen)) => assert_eq!(seen, log.head().size),
                Err(error) => assert_eq!(error.code, "AUDIT_TAMPERED"),
            }
        }
    }
    assert!(newest > 6);
}

#[test]
fn what_an_older_use_left_in_the_journal_is_not_put_in_place() {
    let (before, after) = crashed(&[2]);
    let folder = put(&before);
    let mut other = open(folder.path(), None).unwrap().0;
    append(&mut other, 9);
    // A record of this log that failed, and another that came in its place: the newer counts, though it is shorter.
    let mut disk = after[0].clone();
    let stale = files(folder.path())[JOURNAL].clone();
    let place = |journal: &[u8]| [0, HALF_BYTES].into_iter().max_by_key(|at| generation(&journal[*at..])).unwrap();
    let (record, newer) = (stale[place(&stale)..].to_vec(), place(&disk[JOURNAL]));
    let older = of_generation(&record, generation(&disk[JOURNAL][newer..]) - 1);
    let journal = disk.get_mut(JOURNAL).unwrap();
    journal[HALF_BYTES - newer..][..older.len()].copy_from_slice(&older);
    let acknowledged = disk[ENTRIES].clone();
    comes_back(&disk, &acknowledged, "older");
    disk.extend([(ENTRIES, before[ENTRIES].clone()), (CHECKPOINT, before[CHECKPOINT].clone())]);
    comes_back(&disk, &acknowledged, "older, and pages lost");
    // Were it newer than a head in the checkpoint of the same log, it would be a fork of it.
    let journal = disk.get_mut(JOURNAL).unwrap();
    journal[HALF_BYTES - newer..][..older.len()].copy_from_slice(&of_generation(&record, 1 << 40));
    disk.extend([(ENTRIES, after[0][ENTRIES].clone()), (CHECKPOINT, after[0][CHECKPOINT].clone())]);
    assert_eq!(code(put(&disk).path()), "AUDIT_TAMPERED");
}

#[test]
fn generations_begin_anew_where_they_end() {
    let (before, after) = crashed(&[2, 7]);
    for generation in [(1 << 62) - 1, 1 << 62, u64::MAX] {
        let mut disk = after[1].clone();
        let journal = disk.get_mut(JOURNAL).unwrap();
        for at in [0, PAGE] {
            let record = of_generation(&journal[at..], generation);
            journal[at..][..record.len()].copy_from_slice(&record);
        }
        disk.extend([(ENTRIES, before[ENTRIES].clone()), (CHECKPOINT, before[CHECKPOINT].clone())]);
        let folder = put(&disk);
        for round in 1..30 {
            append(&mut open(folder.path(), None).unwrap().0, 1);
            // Three and nine, one that says what was restored, and these.
            assert_eq!(open(folder.path(), None).unwrap().1, 13 + round, "{generation}");
        }
    }
}

#[test]
fn a_journal_that_is_damaged_hides_nothing() {
    let (before, after) = crashed(&[2, 40, 3]);
    let last = &after[2];
    let total = last[ENTRIES].iter().filter(|byte| **byte == b'\n').count() as u64;
    let used: Vec<usize> = (0..2 * HALF_BYTES).filter(|at| last[JOURNAL][*at] != 0).step_by(131).collect();
    for at in used {
        let mut disk = last.clone();
        disk.get_mut(JOURNAL).unwrap()[at] ^= 1 << (at % 8);
        // Entries and checkpoint stand for themselves.
        assert_eq!(open(put(&disk).path(), None).unwrap().1, total, "{at}");
        // Without them, what was acknowledged is there, or it is said that it is not.
        disk.insert(ENTRIES, before[ENTRIES].clone());
        match open(put(&disk).path(), None) {
            Ok((_, seen)) => assert_eq!(seen, total, "{at}"),
            Err(error) => assert_eq!(error.code, "AUDIT_TAMPERED", "{at}"),
        }
    }
    let mut disk = last.clone();
    disk.insert(ENTRIES, before[ENTRIES].clone());
    disk.remove(JOURNAL);
    assert_eq!(code(put(&disk).path()), "AUDIT_TAMPERED");
}

#[test]
fn nobody_elses_journal_is_put_in_place() {
    let (before, after) = crashed(&[2]);
    let mut disk = before.clone();
    disk.insert(JOURNAL, after[0][JOURNAL].clone());
    let folder = put(&disk);
    let mut journal = Found::read(folder.path(), "tax", &key().verifying_key()).ok().unwrap();
    let tail = journal.tail.take().unwrap();
    assert_eq!((tail.first, tail.head.size), (3, 5));
    let handle = fs::File::open(folder.path()).unwrap();
    let whole = Commit { first: 5, at: 0, lines: &[], head: &tail.text };
    let mut journal = journal.go_on(folder.path(), &handle, &whole).ok().unwrap();
    let other = ed25519_dalek::SigningKey::from_bytes(&[6; 32]);
    for (origin, signer) in [("tax", &other), ("bank", &key())] {
        let head = Head { size: 8, root: [1; 32] }.signed(origin, signer);
        let (at, lines) = (tail.at + tail.lines.len() as u64, &b"{}\n{}\n{}\n"[..]);
        journal.put(&Commit { first: 5, at, lines, head: &head }).unwrap();
    }
    assert_eq!(open(folder.path(), None).unwrap().1, 5);
}

#[test]
fn entries_that_were_changed_where_the_journal_has_them_are_put_right_and_it_is_said() {
    let (before, after) = crashed(&[2, 1]);
    let good = &after[1];
    for at in (0..good[ENTRIES].len()).step_by(7) {
        let mut disk = good.clone();
        disk.get_mut(ENTRIES).unwrap()[at] ^= 1 << (at % 8);
        if at >= before[ENTRIES].len() {
            comes_back(&disk, &good[ENTRIES], &format!("byte {at}"));
        } else {
            assert!(matches!(code(put(&disk).path()), "AUDIT_ENTRY" | "AUDIT_TAMPERED"), "byte {at}");
        }
    }
}

#[test]
fn a_closed_log_is_not_put_right_and_cannot_be_rolled_back_without_its_journal() {
    let folder = tempfile::tempdir().unwrap();
    append(&mut open(folder.path(), None).unwrap().0, 3);
    let older = files(folder.path());
    append(&mut open(folder.path(), None).unwrap().0, 2);
    let mut disk = files(folder.path());
    let whole = disk.clone();
    disk.extend([(ENTRIES, older[ENTRIES].clone()), (CHECKPOINT, older[CHECKPOINT].clone())]);
    assert_eq!(code(put(&disk).path()), "AUDIT_TAMPERED");
    disk.insert(CHECKPOINT, whole[CHECKPOINT].clone());
    assert_eq!(code(put(&disk).path()), "AUDIT_TAMPERED");
    assert_eq!(code(put(&whole).path()), "");
}

#[test]
fn a_batch_too_long_for_the_journal_waits_for_its_own_files() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = open(folder.path(), None).unwrap();
    append(&mut log, 2);
    let before = files(folder.path());
    append(&mut log, 900);
    let long = files(folder.path());
    assert!(long[ENTRIES].len() > HALF_BYTES);
    assert_eq!(before[JOURNAL], long[JOURNAL]);
    comes_back(&long, &long[ENTRIES], "long");
    append(&mut log, 4);
    let after = files(folder.path());
    for lost in [&before[JOURNAL], &after[JOURNAL]] {
        let mut disk = long.clone();
        disk.insert(JOURNAL, lost.clone());
        let acknowledged = if lost == &before[JOURNAL] { &long } else { &after };
        comes_back(&disk, &acknowledged[ENTRIES], "after it");
    }
    // Before its head was written it was not acknowledged, and is set aside.
    for cut in (before[ENTRIES].len() + 1..=long[ENTRIES].len()).step_by(9973) {
        let mut disk = before.clone();
        disk.insert(ENTRIES, long[ENTRIES][..cut].to_vec());
        let folder = put(&disk);
        assert_eq!(open(folder.path(), None).unwrap().1, 2);
        let text = fs::read_to_string(folder.path().join(ENTRIES)).unwrap();
        assert!(
            text.ends_with('\n') && text.contains(&format!("acknowledged_bytes\":{}", cut - before[ENTRIES].len()))
        );
    }
}

#[test]
fn a_sync_that_fails_behind_the_writer_ends_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = open(folder.path(), None).unwrap();
    log.break_syncing().unwrap();
    let mut taken = 0;
    let failed = loop {
        match log.append((0..80).map(line).collect(), NOW) {
            Ok(_) => taken += 80,
            Err(error) => break error,
        }
    };
    // The half that was full was not written over, and what it holds is put in place.
    assert_eq!((failed.code, taken < 4 * HALF_BYTES as u64 / 100), ("AUDIT_UNAVAILABLE", true));
    assert_eq!(log.append(vec![line(1)], NOW).err().unwrap().code, "AUDIT_UNAVAILABLE");
    drop(log);
    assert!(open(folder.path(), None).unwrap().1 >= taken);
}

#[test]
fn a_journal_that_is_not_there_is_begun_and_its_error_names_it() {
    let (before, after) = crashed(&[2]);
    let mut disk = after[0].clone();
    disk.remove(JOURNAL);
    let folder = put(&disk);
    fs::create_dir(folder.path().join(".journal.new")).unwrap();
    let failed = open(folder.path(), None).err().unwrap();
    assert_eq!((failed.code, failed.place), ("AUDIT_UNAVAILABLE", folder.path().join(JOURNAL)));
    fs::remove_dir(folder.path().join(".journal.new")).unwrap();
    assert_eq!(open(folder.path(), None).unwrap().1, 5);
    assert_eq!(fs::metadata(folder.path().join(JOURNAL)).unwrap().len(), 2 * HALF_BYTES as u64);
    // One that was cut has what it still has, and is begun anew.
    let mut disk = after[0].clone();
    disk.get_mut(JOURNAL).unwrap().truncate(HALF_BYTES + PAGE);
    disk.insert(ENTRIES, before[ENTRIES].clone());
    comes_back(&disk, &after[0][ENTRIES], "cut");
}

#[test]
fn a_draft_that_is_refused_leaves_the_log_to_be_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = open(folder.path(), None).unwrap();
    append(&mut log, 1);
    let draft = Draft::Checks { records: vec![1; 72], begin: Box::new(|_| None) };
    assert_eq!(log.append(vec![draft], NOW).err().unwrap().code, "AUDIT_UNAVAILABLE");
    drop(log);
    assert_eq!(open(folder.path(), None).unwrap().1, 1);
}

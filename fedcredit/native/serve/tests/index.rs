//! Index files: what was put in is found, by whom it is about and by nobody else; what is no index is refused.

use std::path::PathBuf;

use fedcredit_serve::index::{Form, Index};
use fedcredit_serve::index_build::{Builder, Chunk, Plan};
use fedcredit_serve::index_columns::{TextSlices, Values};
use fedcredit_serve::index_layout::ColumnKind;

/// Texts as Arrow has them.
struct Column {
    starts: Vec<i64>,
    letters: String,
}

impl Column {
    fn new<T: AsRef<str>>(texts: &[T]) -> Self {
        let mut starts = vec![0];
        let mut letters = String::new();
        for text in texts {
            letters.push_str(text.as_ref());
            starts.push(letters.len() as i64);
        }
        Self { starts, letters }
    }

    fn slices(&self) -> TextSlices<'_> {
        TextSlices { starts: &self.starts, letters: self.letters.as_bytes() }
    }
}

fn plan(columns: &[(&str, ColumnKind)]) -> Plan {
    Plan {
        item: "water_fee".into(),
        key: "uscc".into(),
        columns: columns.iter().map(|&(name, kind)| (name.into(), kind, true)).collect(),
        has_normal_keys: false,
        max_bytes: 1 << 30,
    }
}

const ALL: [(&str, ColumnKind); 5] = [
    ("a_number", ColumnKind::Number),
    ("b_flag", ColumnKind::Flag),
    ("c_date", ColumnKind::Date),
    ("d_text", ColumnKind::Text),
    ("e_texts", ColumnKind::Texts),
];

/// Records `first..end`: subject `row % subjects`, and values that follow from the row; every seventh says nothing.
fn push(builder: &mut Builder, rows: std::ops::Range<usize>, subjects: usize, key: impl Fn(usize) -> String) {
    let all: Vec<usize> = rows.collect();
    let keys = Column::new(&all.iter().map(|row| key(row % subjects)).collect::<Vec<_>>());
    let known: Vec<u8> = all.iter().map(|row| u8::from(row % 7 != 0)).collect();
    let numbers: Vec<f64> = all.iter().map(|&row| row as f64 / 4.0).collect();
    let flags: Vec<u8> = all.iter().map(|row| (row % 2) as u8).collect();
    let dates: Vec<i32> = all.iter().map(|&row| row as i32 - 100).collect();
    let texts = Column::new(&all.iter().map(|row| format!("Ｔ{}", row % 1000)).collect::<Vec<_>>());
    let lists: Vec<i64> = (0..=all.len() as i64).map(|row| 2 * row).collect();
    let inner = Column::new(&all.iter().flat_map(|row| [format!("i{row}"), "Both".into()]).collect::<Vec<_>>());
    let known = Some(&*known);
    builder
        .push(&Chunk {
            keys: keys.slices(),
            days: Some(&dates),
            days_known: known,
            columns: &[
                (Values::Numbers(&numbers), known),
                (Values::Flags(&flags), known),
                (Values::Dates(&dates), known),
                (Values::Text(texts.slices()), known),
                (Values::Texts { lists: &lists, texts: inner.slices() }, known),
            ],
        })
        .unwrap();
}

fn built(rows: usize, subjects: usize, key: impl Fn(usize) -> String + Copy) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.index");
    let mut builder = Builder::new(plan(&ALL)).unwrap();
    for first in (0..rows).step_by(1000) {
        push(&mut builder, first..rows.min(first + 1000), subjects, key);
    }
    let bytes = builder.finish(&path).unwrap();
    assert_eq!(bytes as u64, std::fs::metadata(&path).unwrap().len());
    (folder, path)
}

fn hold(index: &Index, rows: usize, subjects: usize, key: impl Fn(usize) -> String) {
    assert_eq!((index.subjects(), index.rows()), (subjects.min(rows), rows));
    let column = |name| index.column(name).unwrap();
    let (a, b, c, d, e) = (column("a_number"), column("b_flag"), column("c_date"), column("d_text"), column("e_texts"));
    for subject in 0..subjects.min(rows) {
        let found = index.find(key(subject).as_bytes()).unwrap();
        let held: Vec<usize> = (subject..rows).step_by(subjects).collect();
        assert_eq!(found.rows() as usize, held.len());
        let known: Vec<usize> = held.iter().copied().filter(|row| row % 7 != 0).collect();
        assert_eq!(index.recorded(found), known.iter().max().map(|&row| row as i32 - 100));
        for (place, &row) in held.iter().enumerate() {
            let at = found.first + place as u32;
            let said = |is: bool| row % 7 != 0 && is;
            assert_eq!(index.number(a, at), said(true).then_some(row as f64 / 4.0));
            assert_eq!(index.flag(b, at), said(true).then_some(row % 2 == 1));
            assert_eq!(index.date(c, at), said(true).then_some(row as i32 - 100));
            let text = |form| index.text(d, at, form).map(|text| String::from_utf8(text.to_vec()).unwrap());
            assert_eq!(text(Form::Plain), said(true).then(|| format!("Ｔ{}", row % 1000)));
            assert_eq!(text(Form::Normal), said(true).then(|| format!("t{}", row % 1000)));
            let several = index.texts(e, at, Form::Normal);
            assert_eq!(several.is_some(), said(true));
            assert_eq!(several.as_ref().is_some_and(|texts| texts.contains(b"both")), said(true));
            assert_eq!(several.is_some_and(|texts| texts.contains(format!("i{row}").as_bytes())), said(true));
            assert_eq!((index.number(b, at), index.flag(a, at), index.date(usize::MAX, at)), (None, None, None));
        }
    }
}

#[test]
fn what_was_put_in_is_found_by_whom_it_is_about() {
    for (rows, subjects) in [(1, 1), (5, 5), (3000, 3000), (20_000, 777), (40, 3), (1000, 1000)] {
        for long in [false, true] {
            let key = |subject: usize| if long { format!("k{subject}") } else { format!("{subject:018}") };
            let (_folder, path) = built(rows, subjects, key);
            let index = Index::open(&path).unwrap();
            hold(&index, rows, subjects, key);
            assert_eq!((index.item(), index.key_field()), ("water_fee", "uscc"));
            for other in ["", "k", "000000000000000000", "00000000000000000x", "k999999", "K1", "k1 "] {
                let is_held = (0..subjects).any(|subject| key(subject) == other);
                assert_eq!(index.find(other.as_bytes()).is_some(), is_held, "{other}");
            }
            let asked: Vec<String> = (0..2 * subjects).map(key).collect();
            let mut found = Vec::new();
            index.find_many(asked.iter().map(|key| key.as_bytes()), &mut found);
            let one_by_one: Vec<_> = asked.iter().map(|key| index.find(key.as_bytes())).collect();
            assert_eq!(found, one_by_one);
        }
    }
}

#[test]
fn an_index_of_nobody_is_an_index() {
    let (_folder, path) = built(0, 1, |subject| format!("{subject}"));
    let index = Index::open(&path).unwrap();
    assert_eq!((index.subjects(), index.find(b"0"), index.days()), (0, None, None));
    index.find_many([&b"0"[..]].into_iter(), &mut Vec::new());
}

#[test]
fn names_are_found_in_their_normal_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.index");
    let mut builder = Builder::new(Plan { has_normal_keys: true, ..plan(&[]) }).unwrap();
    let keys = Column::new(&["Steel  Ltd", "ＳＴＥＥＬ ltd", "Other"]);
    builder.push(&Chunk { keys: keys.slices(), days: None, days_known: None, columns: &[] }).unwrap();
    builder.finish(&path).unwrap();
    let index = Index::open(&path).unwrap();
    assert!(index.has_normal_keys());
    assert_eq!(index.find(b"steel ltd").unwrap().rows(), 2);
    assert_eq!(index.find(b"Steel  Ltd"), None);
}

#[test]
fn another_build_takes_the_place_of_the_first_and_leaves_it_to_its_readers() {
    let (_folder, path) = built(10, 10, |subject| format!("{subject}"));
    let first = Index::open(&path).unwrap();
    let mut builder = Builder::new(plan(&ALL)).unwrap();
    push(&mut builder, 0..20, 20, |subject| format!("{subject}"));
    std::fs::write(path.with_file_name("x.index.new"), b"what a crash left").unwrap();
    builder.finish(&path).unwrap();
    hold(&first, 10, 10, |subject| format!("{subject}"));
    hold(&Index::open(&path).unwrap(), 20, 20, |subject| format!("{subject}"));
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn bad_input_is_refused() {
    let keys = Column::new(&["a", "b"]);
    let code = |keys: TextSlices<'_>, values: Values<'_>, known: Option<&[u8]>, kind| {
        let mut builder = Builder::new(plan(&[("x", kind)])).unwrap();
        let chunk = Chunk { keys, days: None, days_known: None, columns: &[(values, known)] };
        builder.push(&chunk).map_err(|trouble| trouble.code)
    };
    let bad = Err("INDEX_INPUT");
    let (number, flag, date, text) = (ColumnKind::Number, ColumnKind::Flag, ColumnKind::Date, ColumnKind::Text);
    let nan = Values::Numbers(&[0.0, f64::NAN]);
    assert_eq!(code(keys.slices(), nan, None, number), bad);
    assert_eq!(code(keys.slices(), nan, Some(&[1, 0]), number), Ok(()));
    assert_eq!(code(keys.slices(), nan, Some(&[1]), number), bad);
    assert_eq!(code(keys.slices(), nan, Some(&[0, 0]), flag), bad);
    assert_eq!(code(keys.slices(), Values::Numbers(&[0.0]), None, number), bad);
    assert_eq!(code(keys.slices(), Values::Flags(&[0, 2]), None, flag), bad);
    assert_eq!(code(keys.slices(), Values::Dates(&[0, i32::MIN]), None, date), bad);
    for (starts, letters) in [
        (&[0, 1, 3][..], &b"ab"[..]),
        (&[0, 2, 1], b"ab"),
        (&[-1, 0, 1], b"ab"),
        (&[0, 1, 2], b"a\xff"),
        (&[0, 1, 3], "aé".as_bytes()),
        (&[0, 1, 2], "aé".as_bytes()),
    ] {
        let fine = letters == "aé".as_bytes() && starts[2] == 3;
        let found = code(keys.slices(), Values::Text(TextSlices { starts, letters }), None, text);
        assert_eq!(found, if fine { Ok(()) } else { bad }, "{starts:?}");
    }
    for empty in [TextSlices { starts: &[0, 0, 1], letters: b"a" }, TextSlices { starts: &[], letters: b"" }] {
        assert_eq!(code(empty, Values::Flags(&[0, 1]), None, flag), bad);
    }
    let twice = Builder::new(plan(&[("x", flag), ("x", date)]));
    assert_eq!(twice.err().map(|trouble| trouble.code), Some("INDEX_INPUT"));
    let mut small = Builder::new(Plan { max_bytes: 40, ..plan(&[]) }).unwrap();
    let chunk = Chunk { keys: keys.slices(), days: None, days_known: None, columns: &[] };
    assert_eq!(small.push(&chunk).map_err(|trouble| trouble.code), Err("INDEX_LIMIT"));
}

/// Puts the checksum right, so that what is behind it is looked at.
fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    if file.len() >= 128 {
        let body = blake3::hash(&file[128..]);
        let digest = *blake3::Hasher::new().update(&file[..96]).update(body.as_bytes()).finalize().as_bytes();
        file[96..128].copy_from_slice(&digest);
    }
    file
}

/// Looks at everything in an index; it must not panic, whatever the file says.
fn look(index: &Index) {
    for key in 0..30 {
        let Some(found) = index.find(format!("{key}").as_bytes()) else { continue };
        index.recorded(found);
        for row in found.first..found.end.min(found.first + 100) {
            for column in 0..6 {
                let _ = (index.number(column, row), index.flag(column, row), index.date(column, row));
                for form in [Form::Plain, Form::Normal] {
                    index.text(column, row, form);
                    index.texts(column, row, form).map(|texts| texts.contains(b"x"));
                }
            }
        }
    }
}

#[test]
fn every_change_of_a_file_is_found() {
    let (_folder, path) = built(30, 20, |subject| format!("{subject}"));
    let file = std::fs::read(path).unwrap();
    for place in 0..file.len() {
        let mut changed = file.clone();
        changed[place] ^= 1 << (place % 8);
        assert!(Index::of_bytes(changed).is_err(), "{place}");
    }
    for length in 0..file.len() {
        assert!(Index::of_bytes(file[..length].to_vec()).is_err());
    }
    assert!(Index::of_bytes([&file[..], &[0]].concat()).is_err());
    let other = [&file[..8], &[2], &file[9..]].concat();
    assert_eq!(Index::of_bytes(other).err().map(|trouble| trouble.code), Some("INDEX_VERSION"));
}

#[test]
fn a_hostile_file_is_refused_or_read_within_its_bounds() {
    for subjects in [20, 30] {
        let (_folder, path) = built(30, subjects, |subject| format!("{subject}"));
        let file = std::fs::read(path).unwrap();
        let mut draw = 1_u64;
        let mut next = |below: usize| {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (draw >> 33) as usize % below
        };
        let mut taken = 0;
        for _ in 0..30_000 {
            let mut changed = file.clone();
            for _ in 0..=next(3) {
                let place = if next(2) == 0 { next(128) } else { next(file.len()) };
                let value = [0, 1, 0x7f, 0x80, 0xff, next(256)][next(6)] as u8;
                match next(3) {
                    0 => changed[place] = value,
                    1 => changed[place] = changed[place].wrapping_add(1),
                    _ => changed[place..(place + 8).min(file.len())].fill(value),
                }
            }
            if next(50) == 0 {
                changed.truncate(next(file.len()));
            }
            if let Ok(index) = Index::of_bytes(sealed(changed)) {
                taken += 1;
                look(&index);
            }
        }
        assert!(taken > 100, "{taken}");
    }
}

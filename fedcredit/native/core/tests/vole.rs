//! Both sides of a piece of silent VOLE, from transfers made up here to the relation that must hold.

use fedcredit_core::gf128::{Element, add, multiply};
use fedcredit_core::vole::{Piece, compress_receiver, compress_sender, plant, regrow};

fn word(i: u64) -> u64 {
    let x = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (x >> 31)
}

struct Setting {
    delta: Element,
    q: Vec<Element>,
    t: Vec<Element>,
    places: Vec<u32>,
    noise: Vec<Element>,
    roots: Vec<Element>,
}

fn setting(piece: &Piece) -> Setting {
    let (trees, depth) = (piece.trees, piece.depth());
    let element = |i: usize| [word(2 * i as u64), word(2 * i as u64 + 1)];
    let delta = element(1);
    let noise: Vec<Element> = (0..trees).map(|i| element(1000 + i)).collect();
    let places: Vec<u32> = (0..trees).map(|i| (word(77 + i as u64) % piece.leaves as u64) as u32).collect();
    let t: Vec<Element> = (0..piece.transfers()).map(|i| element(100_000 + i)).collect();
    let choice = |i: usize| {
        if i < 128 * trees {
            noise[i / 128][i % 128 / 64] >> (i % 64) & 1
        } else {
            let (tree, l) = ((i - 128 * trees) / depth, (i - 128 * trees) % depth);
            1 - u64::from(places[tree] >> (depth - 1 - l) & 1)
        }
    };
    let q = t.iter().enumerate().map(|(i, t)| if choice(i) == 1 { add(*t, delta) } else { *t }).collect();
    let roots = (0..trees).map(|i| element(5000 + i)).collect();
    Setting { delta, q, t, places, noise, roots }
}

fn run(piece: &Piece, m: usize) {
    let s = setting(piece);
    let mut cells = vec![[0; 2]; piece.cells()];
    let mut wide = vec![[0; 4]; piece.cells()];
    let (mut a, mut b, mut c) = (vec![[0; 2]; m], vec![[0; 2]; m], vec![[0; 2]; m]);
    let offer = plant(piece, s.delta, &s.q, &s.roots, &mut cells).unwrap();
    regrow(piece, &s.t, &s.places, &s.noise, &offer, &mut wide).unwrap();
    let wrong = cells.iter().zip(&wide).filter(|(b, w)| add(**b, multiply([w[2], w[3]], s.delta)) != [w[0], w[1]]);
    assert_eq!(wrong.count(), 0);
    compress_sender(piece, &mut cells, &mut b).unwrap();
    compress_receiver(piece, &mut wide, &mut a, &mut c).unwrap();
    for i in 0..m {
        assert_eq!(c[i], add(b[i], multiply(a[i], s.delta)), "{i}");
    }
}

#[test]
fn the_relation_holds() {
    for (trees, leaves, m) in [(1, 7, 1), (3, 5, 7), (16, 33, 264), (128, 100, 5000), (40, 1024, 20_000)] {
        run(&Piece { key: &[trees as u8; 32], trees, leaves }, m);
    }
}

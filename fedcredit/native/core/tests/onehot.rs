//! The one-hot sharing end to end: transfers made by a dealer of the test, then rounds of sums over them.

use fedcredit_core::histogram::vector_sums;
use fedcredit_core::onehot::{Assignment, Opening, Received, Round, Trees, level_sums};
use fedcredit_core::sums::{asker_sums, holder_sums};
use fedcredit_core::tree::depth;

const DELTA: u128 = 0x9d2c_5680_1234_5678_9abc_def0_0fed_cba9;

/// A deterministic stream for test inputs (SplitMix64).
struct Mix(u64);

impl Mix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

struct Pair {
    roots: Vec<u128>,
    keys: Vec<u128>,
    codes: Vec<u8>,
}

fn set_up(trees: &Trees, mix: &mut Mix) -> Pair {
    let n = trees.n_rows;
    let (mut roots, mut keys, mut codes) = (Vec::new(), Vec::new(), Vec::new());
    for (f, &bins) in trees.bins.iter().enumerate() {
        let d = depth(bins);
        let own: Vec<u8> = (0..n).map(|_| (mix.next() % u64::from(bins)) as u8).collect();
        let q: Vec<u128> = (0..n * d).map(|_| (u128::from(mix.next()) << 64) | u128::from(mix.next())).collect();
        let m = level_sums(trees, DELTA, f as u32, 0, &q).unwrap();
        for i in 0..n {
            roots.push(q[i * d]);
            for level in 0..d {
                let choice = 1 - ((own[i] >> (d - 1 - level)) & 1);
                let t = q[i * d + level] ^ (DELTA * u128::from(choice));
                keys.push(if level == 0 { t } else { m[i * (d - 1) + level - 1] ^ t });
            }
        }
        codes.extend(own);
    }
    Pair { roots, keys, codes }
}

#[test]
fn difference_of_the_sums_is_the_sum_per_group() {
    let bins = [2u16, 3, 5, 8, 12, 32, 33, 256];
    let n = 301;
    let trees = Trees { n_rows: n, bins: &bins, expand_key: &[7; 16] };
    let mut mix = Mix(1);
    let pair = set_up(&trees, &mut mix);
    for k in [1usize, 2, 3, 8] {
        let features = [0u32, 7, 2, 5, 6, 1];
        let mask_keys: Vec<[u8; 16]> = (0..k.div_ceil(2)).map(|i| [40 + i as u8; 16]).collect();
        let round = Round { features: &features, mask_keys: &mask_keys, n_values: k };
        let rows: Vec<u32> = (0..n as u32).filter(|r| r % 3 != 1).collect();
        let nodes: Vec<u32> = rows.iter().map(|r| r % 4).collect();
        let at = Assignment { rows: &rows, nodes: &nodes, n_nodes: 4 };
        let values: Vec<u64> = (0..rows.len() * k).map(|_| mix.next()).collect();
        let len = trees.sums_len(&round, 4);
        let (mut mine, mut theirs) = (vec![0; len], vec![0; len]);
        let kept_len = trees.sums_len(&round, rows.len());
        let (mut my_vectors, mut their_vectors) = (vec![0; kept_len], vec![0; kept_len]);
        let opening = Opening { values: &values, keep: Some(&mut my_vectors) };
        let sent = asker_sums(&trees, DELTA, &pair.roots, &round, &at, Some(opening), &mut mine).unwrap();
        // Corrections arrive per summed row and are kept by row number.
        let mut kept = vec![0u64; features.len() * n * k];
        for f in 0..features.len() {
            for (pos, &row) in rows.iter().enumerate() {
                for v in 0..k {
                    kept[(f * n + row as usize) * k + v] = sent[(f * rows.len() + pos) * k + v];
                }
            }
        }
        holder_sums(
            &trees,
            &pair.keys,
            &pair.codes,
            &round,
            &at,
            Received { words: &kept, by_position: false, keep: None },
            &mut theirs,
        )
        .unwrap();
        let mut in_order = vec![0; len];
        holder_sums(
            &trees,
            &pair.keys,
            &pair.codes,
            &round,
            &at,
            Received { words: &sent, by_position: true, keep: Some(&mut their_vectors) },
            &mut in_order,
        )
        .unwrap();
        assert_eq!(in_order, theirs);
        // Vectors that were kept give the same sums again, over the same rows by position.
        let positions: Vec<u32> = (0..rows.len() as u32).collect();
        let again = Assignment { rows: &positions, nodes: &nodes, n_nodes: 4 };
        let own_bins: Vec<u16> = features.iter().map(|&f| bins[f as usize]).collect();
        for (vectors, sums) in [(&my_vectors, &mine), (&their_vectors, &theirs)] {
            let mut summed = vec![0; len];
            vector_sums(vectors, rows.len(), &own_bins, k, &again, &mut summed).unwrap();
            assert_eq!(&summed, sums);
        }
        let mut start = 0;
        for &f in &features {
            let b = usize::from(bins[f as usize]);
            let mut want = vec![0u64; 4 * k * b];
            for (pos, &row) in rows.iter().enumerate() {
                let code = usize::from(pair.codes[f as usize * n + row as usize]);
                for v in 0..k {
                    let cell = &mut want[(nodes[pos] as usize * k + v) * b + code];
                    *cell = cell.wrapping_add(values[pos * k + v]);
                }
            }
            for (c, w) in want.iter().enumerate() {
                assert_eq!(theirs[start + c].wrapping_sub(mine[start + c]), *w, "feature {f}, k {k}, cell {c}");
            }
            start += 4 * k * b;
        }
    }
}

#[test]
fn bad_shapes_are_refused() {
    let bins = [4u16];
    let trees = Trees { n_rows: 8, bins: &bins, expand_key: &[0; 16] };
    let round = Round { features: &[0], mask_keys: &[[1; 16]], n_values: 1 };
    let at = Assignment { rows: &[8], nodes: &[0], n_nodes: 1 };
    assert!(asker_sums(&trees, 1, &[0; 8], &round, &at, None, &mut [0; 4]).is_err());
    let at = Assignment { rows: &[0], nodes: &[1], n_nodes: 1 };
    assert!(asker_sums(&trees, 1, &[0; 8], &round, &at, None, &mut [0; 4]).is_err());
    let at = Assignment { rows: &[0], nodes: &[0], n_nodes: 1 };
    assert!(asker_sums(&trees, 1, &[0; 8], &round, &at, None, &mut [0; 3]).is_err());
    assert!(asker_sums(&trees, 1, &[0; 7], &round, &at, None, &mut [0; 4]).is_err());
    assert!(asker_sums(&trees, 1, &[0; 8], &round, &at, None, &mut [0; 4]).is_ok());
}

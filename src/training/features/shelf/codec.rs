//! How a row is stored: as a mask of the numbers that aren't zero and these, where that makes it smaller, else as it is.
//! Which of the two needs no flag: only a row as it is has a row's length.
//!
//! Behind a ReLU three of four numbers are zero and the rest is nearly noise, so this packs as well as zstd's level 1 and
//! unpacks four times as fast.
//!
//! ```text
//! width (1)   bytes a number: 1, 2 or 4, whichever packs this row best
//! masks       64 numbers each (8), little-endian, the first number in the lowest bit
//! numbers     those that aren't zero, in order
//! ```

/// A row as it is stored.
pub struct Packed {
    row_bytes: usize,
    pub(super) stored: Vec<u8>,
    /// CRC-32 of `stored`.
    pub(super) crc: u32,
}

impl Packed {
    /// Packs `row`, best where it was computed: it is in that core's cache.
    pub fn of(row: &[u8]) -> Self {
        let (one, two, four) = (packed_bytes::<1>(row), packed_bytes::<2>(row), packed_bytes::<4>(row));
        let stored = match one.min(two).min(four) {
            smallest if smallest >= row.len() => row.to_vec(),
            smallest if smallest == one => pack::<1>(row, smallest),
            smallest if smallest == two => pack::<2>(row, smallest),
            smallest => pack::<4>(row, smallest),
        };
        Self { row_bytes: row.len(), crc: crc32fast::hash(&stored), stored }
    }

    /// Bytes of the row that was packed.
    pub const fn row_bytes(&self) -> usize {
        self.row_bytes
    }
}

/// Fills `row` from what [`Packed::of`] made shorter; `false` if it didn't make this.
pub fn unpacked(packed: &[u8], row: &mut [u8]) -> bool {
    let unpacked = match packed.split_first() {
        Some((1, packed)) => unpack::<1>(packed, row),
        Some((2, packed)) => unpack::<2>(packed, row),
        Some((4, packed)) => unpack::<4>(packed, row),
        _ => None,
    };
    unpacked.is_some()
}

const fn mask_bytes<const WIDTH: usize>(row_bytes: usize) -> usize {
    (row_bytes / WIDTH).div_ceil(64) * 8
}

/// What `row` would pack to; more than it has if it isn't of such numbers.
fn packed_bytes<const WIDTH: usize>(row: &[u8]) -> usize {
    let (numbers, rest) = row.as_chunks::<WIDTH>();
    if !rest.is_empty() {
        return usize::MAX;
    }
    // Counted in bytes, of which a vector holds many, as far as a byte counts.
    let filled = |numbers: &[[u8; WIDTH]]| usize::from(numbers.iter().map(is_filled).sum::<u8>());
    let filled: usize = numbers.chunks(usize::from(u8::MAX)).map(filled).sum();
    1 + mask_bytes::<WIDTH>(row.len()) + filled * WIDTH
}

fn is_filled<const WIDTH: usize>(number: &[u8; WIDTH]) -> u8 {
    u8::from(*number != [0; WIDTH])
}

/// Packs `row` to as many bytes as [`packed_bytes`] says.
fn pack<const WIDTH: usize>(row: &[u8], bytes: usize) -> Vec<u8> {
    let mut packed = Vec::with_capacity(bytes);
    packed.resize(1 + mask_bytes::<WIDTH>(row.len()), 0);
    packed[0] = WIDTH as u8;
    for (turn, numbers) in row.as_chunks::<WIDTH>().0.chunks(64).enumerate() {
        let mut mask = mask(numbers);
        packed[1 + turn * 8..9 + turn * 8].copy_from_slice(&mask.to_le_bytes());
        while mask != 0 {
            packed.extend_from_slice(&numbers[mask.trailing_zeros() as usize]);
            mask &= mask - 1;
        }
    }
    packed
}

/// The mask of up to 64 numbers.
fn mask<const WIDTH: usize>(numbers: &[[u8; WIDTH]]) -> u64 {
    let mut filled = [0; 64];
    for (filled, number) in filled.iter_mut().zip(numbers) {
        *filled = is_filled(number);
    }
    // The product brings the lowest bits of eight bytes together in its highest byte.
    let bits =
        filled.as_chunks::<8>().0.iter().map(|eight| u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56);
    bits.rev().fold(0, |mask, bits| mask << 8 | bits)
}

/// `None` if a mask names a number beyond the row's end, or there are fewer or more numbers than the masks say.
fn unpack<const WIDTH: usize>(packed: &[u8], row: &mut [u8]) -> Option<()> {
    let (masks, packed) = packed.split_at_checked(mask_bytes::<WIDTH>(row.len()))?;
    let (mut filled, rest) = packed.as_chunks::<WIDTH>();
    row.fill(0);
    let (numbers, short) = row.as_chunks_mut::<WIDTH>();
    for (numbers, mask) in numbers.chunks_mut(64).zip(masks.as_chunks::<8>().0) {
        let mut mask = u64::from_le_bytes(*mask);
        let (these, others) = filled.split_at_checked(mask.count_ones() as usize)?;
        for number in these {
            *numbers.get_mut(mask.trailing_zeros() as usize)? = *number;
            mask &= mask - 1;
        }
        filled = others;
    }
    (filled.is_empty() && rest.is_empty() && short.is_empty()).then_some(())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked(
            numbers in vec(prop_oneof![3 => Just(0u32), 1 => any::<u32>(), 1 => 1..256u32], 0..300),
            cut in 0..4usize,
        ) {
            let row: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            let row = &row[..row.len().saturating_sub(cut)];
            let packed = Packed::of(row).stored;
            prop_assert!(packed.len() <= row.len());
            if packed.len() < row.len() {
                let mut found = vec![7; row.len()];
                prop_assert!(unpacked(&packed, &mut found));
                prop_assert_eq!(&found, row);
            } else {
                prop_assert_eq!(&packed, row);
            }
        }

        #[test]
        fn any_bytes_unpack_or_are_refused(packed in vec(any::<u8>(), 0..80), width in 0..5u8, length in 0..200usize) {
            let mut row = vec![0; length];
            unpacked(&[&[width], &packed[..]].concat(), &mut row);
        }
    }
}

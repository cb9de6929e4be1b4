//! How a row is stored: as a mask of the numbers that aren't zero and these, where that makes it smaller, else as it is.
//! Which of the two needs no flag: only a row as it is has a row's length.
//!
//! Behind a ReLU three of four numbers are zero and the rest is nearly noise, so this packs as well as zstd's level 1 and
//! unpacks four times as fast.
//!
//! ```text
//! width (1)   bytes a number: 1, 2 or 4
//! masks       64 numbers each (8), little-endian, the first number in the lowest bit
//! numbers     those that aren't zero, in order
//! ```

/// Numbers a mask.
const NUMBERS: usize = 64;

/// A row as it is stored.
pub struct Packed {
    row_bytes: usize,
    pub(super) stored: Vec<u8>,
    /// CRC-32 of `stored`.
    pub(super) crc: u32,
}

impl Packed {
    /// Packs `row`, whose numbers have `WIDTH` bytes: 1, 2 or 4. Best where it was computed: it is in that core's cache.
    pub fn of<const WIDTH: usize>(row: &[u8]) -> Self {
        const { assert!(matches!(WIDTH, 1 | 2 | 4), "no other width is unpacked") };
        let stored = pack::<WIDTH>(row).unwrap_or_else(|| row.to_vec());
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
    (row_bytes / WIDTH).div_ceil(NUMBERS) * 8
}

/// The packed `row`; `None` if that wouldn't be shorter, or `row` isn't of such numbers.
fn pack<const WIDTH: usize>(row: &[u8]) -> Option<Vec<u8>> {
    let (numbers, rest) = row.as_chunks::<WIDTH>();
    let masks: Vec<u64> = numbers.chunks(NUMBERS).map(mask).collect();
    let filled: usize = masks.iter().map(|mask| mask.count_ones() as usize).sum();
    let bytes = 1 + mask_bytes::<WIDTH>(row.len()) + filled * WIDTH;
    if bytes >= row.len() || !rest.is_empty() {
        return None;
    }
    // Room for all of the last array below.
    let mut packed = Vec::with_capacity(bytes + NUMBERS * WIDTH);
    packed.push(WIDTH as u8);
    packed.extend(masks.iter().flat_map(|mask| mask.to_le_bytes()));
    for (numbers, mut mask) in numbers.chunks(NUMBERS).zip(masks) {
        // Appended whole and then cut, in a third of the time that number by number takes: the compiler knows its length.
        let mut filled = [[0; WIDTH]; NUMBERS];
        let mut count = 0;
        while mask != 0 {
            filled[count % NUMBERS] = numbers[mask.trailing_zeros() as usize];
            count += 1;
            mask &= mask - 1;
        }
        let end = packed.len() + count * WIDTH;
        packed.extend_from_slice(filled.as_flattened());
        packed.truncate(end);
    }
    Some(packed)
}

/// Which of up to [`NUMBERS`] numbers aren't zero.
fn mask<const WIDTH: usize>(numbers: &[[u8; WIDTH]]) -> u64 {
    let mut filled = [0; NUMBERS];
    for (filled, number) in filled.iter_mut().zip(numbers) {
        *filled = u8::from(*number != [0; WIDTH]);
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
    for (numbers, mask) in numbers.chunks_mut(NUMBERS).zip(masks.as_chunks::<8>().0) {
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

    /// Packs `row` as numbers of `WIDTH` bytes and unpacks it; answers what was stored.
    fn stored<const WIDTH: usize>(row: &[u8]) -> Result<Vec<u8>, TestCaseError> {
        let packed = Packed::of::<WIDTH>(row).stored;
        prop_assert!(packed.len() <= row.len());
        if packed.len() < row.len() {
            let mut found = vec![7; row.len()];
            prop_assert!(unpacked(&packed, &mut found));
            prop_assert_eq!(&found, row);
        } else {
            prop_assert_eq!(&packed, row);
        }
        Ok(packed)
    }

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked(
            numbers in vec(prop_oneof![3 => Just(0u32), 1 => any::<u32>(), 1 => 1..256u32], 0..300),
            cut in 0..4usize,
        ) {
            let row: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            let row = &row[..row.len().saturating_sub(cut)];
            stored::<1>(row)?;
            stored::<2>(row)?;
            let packed = stored::<4>(row)?;
            // A bit for each number, rounded up to 64 of them, and those that aren't zero.
            let filled = numbers.iter().filter(|number| **number != 0).count();
            let bytes = 1 + numbers.len().div_ceil(64) * 8 + filled * 4;
            prop_assert_eq!(packed.len(), if cut == 0 { bytes.min(row.len()) } else { row.len() });
        }

        #[test]
        fn any_bytes_unpack_or_are_refused(packed in vec(any::<u8>(), 0..80), width in 0..5u8, length in 0..200usize) {
            let mut row = vec![0; length];
            unpacked(&[&[width], &packed[..]].concat(), &mut row);
        }
    }
}

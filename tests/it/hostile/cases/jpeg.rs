//! A JPEG writer for pictures of one colour that writes whatever it is told (ITU-T T.81, annexes B, F and G).

/// Start of frame: baseline, extended, progressive, lossless, arithmetic.
pub const BASELINE: u8 = 0xc0;
pub const EXTENDED: u8 = 0xc1;
pub const PROGRESSIVE: u8 = 0xc2;
pub const LOSSLESS: u8 = 0xc3;
pub const ARITHMETIC: u8 = 0xc9;

/// What is written.
#[derive(Clone)]
pub struct Jpeg {
    pub frame: u8,
    pub precision: u8,
    pub width: u16,
    pub height: u16,
    /// The value of each component, 0 to 255.
    pub components: Vec<u8>,
    /// Adobe's segment with this number of a colour transform.
    pub adobe: Option<u8>,
    /// Whether code tables are written.
    pub tables: bool,
    /// Segments after the start of image.
    pub before: Vec<u8>,
    /// Follows the scan.
    pub after: Vec<u8>,
}

/// A baseline picture of one colour.
pub fn flat(width: u16, height: u16, components: &[u8]) -> Jpeg {
    let (before, after) = (Vec::new(), Vec::new());
    let components = components.to_vec();
    Jpeg { frame: BASELINE, precision: 8, width, height, components, adobe: None, tables: true, before, after }
}

pub fn segment(marker: u8, bytes: &[u8]) -> Vec<u8> {
    [&[0xff, marker], (bytes.len() as u16 + 2).to_be_bytes().as_slice(), bytes].concat()
}

/// A scan's header: all components, the range of coefficients, the bits before and now.
pub fn scan(components: u8, coefficients: [u8; 2], bits: u8) -> Vec<u8> {
    let each = (1..=components).flat_map(|id| [id, 0]);
    segment(0xda, &[components].into_iter().chain(each).chain(coefficients).chain([bits]).collect::<Vec<_>>())
}

impl Jpeg {
    pub fn with(mut self, change: impl Fn(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = [vec![0xff, 0xd8], self.before.clone()].concat();
        if let Some(transform) = self.adobe {
            bytes.extend(segment(0xee, &[b"Adobe\0\x64\0\0\0\0".as_slice(), &[transform]].concat()));
        }
        // Steps of 8 in every coefficient: a block's mean is its first coefficient.
        bytes.extend(segment(0xdb, &[vec![0], vec![8; 64]].concat()));
        let count = self.components.len() as u8;
        let mut frame = vec![self.precision];
        frame.extend(self.height.to_be_bytes());
        frame.extend(self.width.to_be_bytes());
        frame.push(count);
        frame.extend((1..=count).flat_map(|id| [id, 0x11, 0]));
        bytes.extend(segment(self.frame, &frame));
        if self.tables {
            // Differences of 0 to 11 bits, each with a code of 5 bits; one code of 1 bit for the end of a block.
            let mut first = vec![0, 0, 0, 0, 0, 12];
            first.extend([0; 11]);
            first.extend(0..12);
            bytes.extend(segment(0xc4, &first));
            let mut rest = vec![0x10, 1];
            rest.extend([0; 15]);
            rest.push(0);
            bytes.extend(segment(0xc4, &rest));
        }
        let end = if self.frame == PROGRESSIVE { 0 } else { 63 };
        bytes.extend(scan(count, [0, end], 0));
        bytes.extend(self.entropy());
        bytes.extend(&self.after);
        bytes.extend([0xff, 0xd9]);
        bytes
    }

    fn entropy(&self) -> Vec<u8> {
        let blocks = usize::from(self.width.div_ceil(8).min(512)) * usize::from(self.height.div_ceil(8).min(512));
        let mut bits = Bits::default();
        for block in 0..blocks {
            for component in &self.components {
                // The first block has the difference from the middle, all others none.
                let difference = if block == 0 { i32::from(*component) - 128 } else { 0 };
                let size = 32 - difference.unsigned_abs().leading_zeros();
                bits.push(size, 5);
                // Negative ones are one less, in as many bits.
                let value = if difference < 0 { difference - 1 } else { difference };
                bits.push(value as u32 & ((1 << size) - 1), size);
                if self.frame != PROGRESSIVE {
                    bits.push(0, 1);
                }
            }
        }
        bits.bytes()
    }
}

#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn push(&mut self, value: u32, count: u32) {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
    }

    /// Filled up with ones; a zero after each byte of ones.
    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| (0..8).fold(0, |byte, i| byte << 1 | u8::from(*bits.get(i).unwrap_or(&true)));
        let stuffed = |byte| if byte == 0xff { vec![0xff, 0] } else { vec![byte] };
        self.0.chunks(8).map(byte).flat_map(stuffed).collect()
    }
}

/// An EXIF segment that has only an orientation.
pub fn orientation(value: u16) -> Vec<u8> {
    exif(
        &[[0x01, 0x12, 0, 3, 0, 0, 0, 1, value.to_be_bytes()[0], value.to_be_bytes()[1], 0, 0].as_slice(), &[0; 4]].concat(),
        1,
    )
}

/// An EXIF segment of big-endian entries and where the next folder of them is.
pub fn exif(entries: &[u8], count: u16) -> Vec<u8> {
    segment(0xe1, &[b"Exif\0\0MM\0\x2a\0\0\0\x08".as_slice(), &count.to_be_bytes(), entries].concat())
}

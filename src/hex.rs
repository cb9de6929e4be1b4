//! Hashes as text.

/// The 32 bytes of 64 hexadecimal digits.
#[must_use]
pub fn bytes_of(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        // Two digits of 16 make a byte.
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Some(bytes)
}

/// `bytes` in lower-case hexadecimal, two digits a byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let bytes: [u8; 32] = std::array::from_fn(|i| (i * 9) as u8);
        assert_eq!(bytes_of(&hex(&bytes)), Some(bytes));
        assert_eq!(bytes_of(&"0".repeat(63)), None);
        assert_eq!(bytes_of(&"g".repeat(64)), None);
        assert_eq!(bytes_of(&"ü".repeat(32)), None);
    }
}

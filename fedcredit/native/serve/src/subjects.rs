//! Whom a question or a consent is about: an enterprise by its code, or a person by the number of the identity card.
//!
//! Source: GB 32100-2015 (unified social credit code), GB 11643-1999 (17 digits and a check character).

const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
const LENGTH: usize = 18;
const PERSON_CHECKS: &[u8; 11] = b"10X98765432";

/// Whether it is a unified social credit code in normal form, with its right check character.
pub fn is_enterprise_code(text: &str) -> bool {
    if text.len() != LENGTH {
        return false;
    }
    let mut total = 0;
    let mut weight = 1;
    let mut last = 0;
    for (place, byte) in text.bytes().enumerate() {
        let Some(value) = ALPHABET.iter().position(|&known| known == byte) else { return false };
        if place < LENGTH - 1 {
            total = (total + value * weight) % 31;
            weight = weight * 3 % 31;
        }
        last = value;
    }
    (31 - total) % 31 == last
}

/// Whether it is the number of a resident identity card in normal form, with its right check character.
pub fn is_person_number(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() != LENGTH || !bytes[..LENGTH - 1].iter().all(u8::is_ascii_digit) {
        return false;
    }
    let total = bytes[..LENGTH - 1].iter().fold(0, |sum, &digit| (sum * 2 + usize::from(digit - b'0')) % 11) * 2 % 11;
    PERSON_CHECKS[total] == bytes[LENGTH - 1]
}

/// Whether the enterprise is a person's own business, whose data are personal information (codes 92...).
pub fn is_sole_proprietor(code: &str) -> bool {
    code.starts_with("92")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_characters_are_checked() {
        for good in ["91320100MA1MK00057", "92320104MA1P000063"] {
            assert!(is_enterprise_code(good));
            assert!(!is_enterprise_code(&good.to_lowercase()));
            assert!(!is_enterprise_code(&good[1..]));
            assert!(!is_enterprise_code(&good.replacen('1', "2", 1)));
        }
        assert!(is_person_number("11010519491231002X"));
        assert!(!is_person_number("110105194912310021"));
        assert!(!is_person_number("11010519491231002x"));
    }
}

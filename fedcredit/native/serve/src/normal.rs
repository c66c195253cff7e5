//! The normal form of a text that is matched: the same for what a register holds and for what an enquirer gives.

use caseless::Caseless;
use unicode_normalization::UnicodeNormalization;

/// The normal form: NFKC, case folded, trimmed, and one space wherever there is white space.
///
/// It is a fixed point: the normal form of a normal form is itself.
pub fn normal(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()) {
        return text.to_owned();
    }
    // Folding can undo a composition, and a composition can bring in a letter that folds: that is why it is done twice
    // (Unicode, chapter 3.13, D146). White space is told last, since NFKC makes plain spaces of others.
    let folded: String = text.nfkd().default_case_fold().nfkc().default_case_fold().nfkc().collect();
    let mut out = String::with_capacity(folded.len());
    for word in folded.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn what_looks_the_same_is_the_same() {
        for (said, held) in [
            ("ＡＢＣ１２３", "abc123"),
            ("  Nanjing \t\u{3000} Steel\u{a0}Ltd ", "nanjing steel ltd"),
            ("Straße", "STRASSE"),
            ("e\u{301}", "\u{e9}"),
            ("ﬁ", "FI"),
            ("Ω", "\u{2126}"),
            ("㈱", "(株)"),
            ("南京市", "南京市"),
        ] {
            assert_eq!(normal(said), normal(held), "{said} {held}");
        }
        assert_ne!(normal("A1"), normal("A2"));
        assert_eq!(normal(" \t "), "");
    }

    #[test]
    fn a_normal_form_is_its_own() {
        for number in 0..0x11_0000_u32 {
            let Some(letter) = char::from_u32(number) else { continue };
            let once = normal(&format!("a{letter}\u{345}b{letter}"));
            assert_eq!(normal(&once), once, "{number:x}");
        }
    }
}

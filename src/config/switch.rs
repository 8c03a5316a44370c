//! Settings that are on or off.

/// Whether a switch is on, as its environment variable has it.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    let is_one_of = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match () {
        () if is_one_of(["true", "1", "yes", "on"]) => Ok(true),
        () if is_one_of(["false", "0", "no", "off"]) => Ok(false),
        () => Err("a switch is true or false; 1, 0, yes, no, on and off mean the same".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_has_several_words_for_on_and_off() {
        for text in ["true", "TRUE", "1", "yes", "on"] {
            assert_eq!(switch(text), Ok(true), "{text}");
        }
        for text in ["false", "False", "0", "no", "OFF"] {
            assert_eq!(switch(text), Ok(false), "{text}");
        }
        for text in ["", "2", "y", " ", "true ", "enabled"] {
            assert!(switch(text).is_err(), "{text}");
        }
    }
}

//! Words that more than one page puts together.

/// With a capital letter and one full stop, as it stands beside a field.
pub fn full_sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first: String = letters.next().map(|letter| letter.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_becomes_one_sentence() {
        assert_eq!(full_sentence("there is no @ in the address"), "There is no @ in the address.");
        assert_eq!(full_sentence("It is there already."), "It is there already.");
    }
}

//! "Did you mean": the nearest known word to one that is not known.

/// How many known words an answer lists before it stops.
const LISTED_MAX: usize = 12;

/// What to write instead of `given`: the nearest of `known` when one is near, else what there is.
pub(crate) fn instead_of<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    nearest(given, &known).map_or_else(|| one_of(known), |word| format!("did you mean `{word}`?"))
}

/// What there is to choose from.
pub(crate) fn one_of<'a>(known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let shown: Vec<String> = known.iter().take(LISTED_MAX).map(|word| format!("`{word}`")).collect();
    match known.len().saturating_sub(LISTED_MAX) {
        0 if known.is_empty() => "there are none to choose from".into(),
        0 => format!("use one of: {}", shown.join(", ")),
        more => format!("use one of: {} and {more} more", shown.join(", ")),
    }
}

/// The known word with the fewest differing letters, as long as at least two thirds of it agree.
fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let letters = given.chars().count();
    let near = |word: &&'a str| (strsim::damerau_levenshtein(given, word), *word);
    let within = |(distance, word): &(usize, &str)| *distance <= letters.max(word.chars().count()).div_ceil(3);
    known.iter().map(near).filter(within).min().map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_finds_its_neighbour() {
        let known = ["instructions", "role", "runtime"];
        assert_eq!(nearest("instructoins", &known), Some("instructions"));
        assert_eq!(nearest("rol", &known), Some("role"));
        assert_eq!(nearest("budget", &known), None);
    }

    #[test]
    fn an_answer_stays_short() {
        let words: Vec<String> = (0..40).map(|n| format!("task-number-{n}")).collect();
        let answer = instead_of("x", words.iter().map(String::as_str));
        assert!(answer.ends_with("`task-number-11` and 28 more"), "{answer}");
    }
}

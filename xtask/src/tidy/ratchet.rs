//! What was broken before its rule came, by rule and subject. It may only shrink: a higher number, or a new entry,
//! is written by hand and seen in review.

use super::finding::Finding;
use anyhow::{Context, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

type Amounts = BTreeMap<String, BTreeMap<String, usize>>;

/// How much of each rule may be broken where.
#[derive(Debug, Default, PartialEq)]
pub struct Ratchet(Amounts);

/// What a ratchet makes of findings.
#[derive(Debug, Default, PartialEq)]
pub struct Verdict {
    /// More than is tolerated.
    pub broken: Vec<Finding>,
    /// Entries that are higher than what was found.
    pub slack: Vec<String>,
    /// How many findings are tolerated.
    pub tolerated: usize,
}

impl Ratchet {
    /// The file's entries; none when there is no file.
    pub fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        serde_json::from_str(&text).map(Self).with_context(|| format!("{} is not a ratchet", path.display()))
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.0)? + "\n";
        fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Lowers every entry to what was found; removes those that are mended. Raises nothing.
    pub fn lower(&mut self, findings: &[Finding]) {
        let found = amounts(findings);
        for (rule, entries) in &mut self.0 {
            for (subject, tolerated) in entries.iter_mut() {
                *tolerated = (*tolerated).min(amount(&found, rule, subject));
            }
            entries.retain(|_, tolerated| *tolerated > 0);
        }
        self.0.retain(|_, entries| !entries.is_empty());
    }

    pub fn judge(&self, findings: &[Finding]) -> Verdict {
        let found = amounts(findings);
        let within = |finding: &Finding| {
            amount(&found, finding.rule, &finding.subject) <= amount(&self.0, finding.rule, &finding.subject)
        };
        let broken: Vec<Finding> = findings.iter().filter(|finding| !within(finding)).cloned().collect();
        let mut slack = BTreeSet::new();
        for (rule, entries) in &self.0 {
            let higher = entries.iter().filter(|(subject, tolerated)| amount(&found, rule, subject) < **tolerated);
            slack.extend(higher.map(|(subject, _)| format!("{rule} of {subject}")));
        }
        Verdict { tolerated: findings.len() - broken.len(), broken, slack: slack.into_iter().collect() }
    }
}

fn amounts(findings: &[Finding]) -> Amounts {
    let mut amounts = Amounts::new();
    for finding in findings {
        *amounts.entry(finding.rule.into()).or_default().entry(finding.subject.clone()).or_default() += finding.amount;
    }
    amounts
}

fn amount(amounts: &Amounts, rule: &str, subject: &str) -> usize {
    amounts.get(rule).and_then(|subjects| subjects.get(subject)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(amount: usize) -> Finding {
        Finding { amount, ..Finding::at("length", "a.rs", 1, "too long") }
    }

    fn tolerating(amount: usize) -> Ratchet {
        Ratchet([("length".to_string(), [("a.rs".to_string(), amount)].into())].into())
    }

    #[test]
    fn what_is_written_is_tolerated_and_no_more() {
        assert_eq!(tolerating(600).judge(&[long(600)]), Verdict { tolerated: 1, ..Verdict::default() });
        assert_eq!(tolerating(600).judge(&[long(601)]).broken, [long(601)]);
        assert_eq!(Ratchet::default().judge(&[long(600)]).broken, [long(600)]);
    }

    #[test]
    fn what_got_better_must_be_written_down() {
        assert_eq!(tolerating(600).judge(&[long(590)]).slack, ["length of a.rs"]);
        assert_eq!(tolerating(600).judge(&[]).slack, ["length of a.rs"]);
    }

    #[test]
    fn an_update_lowers_and_never_raises() {
        let updated = |found: &[Finding]| {
            let mut ratchet = tolerating(600);
            ratchet.lower(found);
            ratchet
        };
        assert_eq!(updated(&[long(550)]), tolerating(550));
        assert_eq!(updated(&[long(700)]), tolerating(600));
        assert_eq!(updated(&[]), Ratchet::default());
    }

    #[test]
    fn occurrences_in_one_file_add_up() {
        let ratchet = tolerating(2);
        assert!(ratchet.judge(&[long(1), long(1)]).broken.is_empty());
        assert_eq!(ratchet.judge(&[long(1), long(1), long(1)]).broken.len(), 3);
    }
}

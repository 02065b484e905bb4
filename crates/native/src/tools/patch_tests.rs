use super::*;
use expect_test::{Expect, expect};
use proptest::prelude::*;

#[test]
fn every_kind_of_change_is_read() {
    let text = "*** Begin Patch\n*** Add File: a/new.txt\n+one\n+\n*** Delete File: old.txt\n*** Update File: b.rs\n\
                *** Move to: c.rs\n@@ fn main() {\n ctx\n-old\n+new\n@@\n+tail\n*** End of File\n*** End Patch\n";
    let hunk = |line, after: Option<&str>, old: &[&str], new: &[&str], is_at_end| Hunk {
        line,
        after: after.map(Into::into),
        old: owned(old),
        new: owned(new),
        is_at_end,
    };
    assert_eq!(
        parse(text).unwrap(),
        [
            Change::Add { path: "a/new.txt".into(), content: "one\n\n".into() },
            Change::Delete { path: "old.txt".into() },
            Change::Update {
                path: "b.rs".into(),
                move_to: Some("c.rs".into()),
                hunks: vec![
                    hunk(8, Some("fn main() {"), &["ctx", "old"], &["ctx", "new"], false),
                    hunk(12, None, &[], &["tail"], true),
                ],
            },
        ]
    );
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    refuse("", expect![[r#"the patch ends at line 0: expected "*** Begin Patch""#]]);
    refuse("--- a/x\n+++ b/x", expect![[r#"patch line 1: expected "*** Begin Patch", found "--- a/x""#]]);
    refuse("*** Begin Patch\n*** End Patch", expect!["the patch changes nothing"]);
    refuse("*** Begin Patch\n*** Delete File: a", expect![[r#"the patch must end with "*** End Patch""#]]);
    refuse(
        "*** Begin Patch\n*** Add File: a\noops\n*** End Patch",
        expect![[r#"patch line 3: expected a line of the new file after a "+", found "oops""#]],
    );
    refuse(
        "*** Begin Patch\n*** Update File: a\n*** End Patch",
        expect![[r#"patch line 3: expected a hunk for a, starting with "@@", found "*** End Patch""#]],
    );
    refuse(
        "*** Begin Patch\n*** Update File: a\n@@\nhello\n*** End Patch",
        expect![[r#"patch line 4: expected a line after " ", "-" or "+", found "hello""#]],
    );
    refuse(
        "*** Begin Patch\n*** Update File: a\n@@ x\n*** End Patch",
        expect![[r#"patch line 4: expected a line after " ", "-" or "+", found "*** End Patch""#]],
    );
    refuse(
        "*** Begin Patch\n*** Delete File: a\n*** End Patch\nbye",
        expect![[r#"patch line 4: expected nothing after "*** End Patch", found "bye""#]],
    );
}

#[test]
fn hunks_are_found_and_applied_in_order() {
    let file = "a\nx\nb\nx\nc\n";
    check(file, "@@\n-x\n+1\n@@\n-x\n+2\n", expect!["a|1|b|2|c|"]);
    check(file, "@@ b\n-x\n+2\n", expect!["a|x|b|2|c|"]);
    check(file, "@@ b\n+2\n", expect!["a|x|b|2|x|c|"]);
    check(file, "@@\n+end\n", expect!["a|x|b|x|c|end|"]);
    check(file, " a\n-x\n", expect!["a|b|x|c|"]);
    check("x\ny\nx\n", "@@\n-x\n+last\n*** End of File\n", expect!["x|y|last|"]);
    check("", "@@\n+first\n", expect!["first|"]);
}

#[test]
fn hunks_that_do_not_fit_are_told_with_their_place() {
    check("a\n", "@@\n-b\n+c\n", expect!["patch line 3: the file does not have these lines after its line 0:|b"]);
    check(
        "a\nb\n",
        "@@\n-b\n+c\n@@\n-a\n+d\n",
        expect!["patch line 6: the file does not have these lines after its line 2:|a"],
    );
    check("a\n", "@@ fn x\n-a\n+b\n", expect![[r#"patch line 3: the file has no line "fn x" after its line 0"#]]);
    check(
        "a\nb\n",
        "@@\n-a\n+c\n*** End of File\n",
        expect!["patch line 3: the file does not have these lines at its end:|a"],
    );
}

#[test]
fn line_ends_are_kept_and_blanks_at_line_ends_forgiven() {
    assert_eq!(applied("a\r\nb\r\n", "@@\n-b\n+c\n").unwrap(), "a\r\nc\r\n");
    assert_eq!(applied("a\nb", "@@\n-b\n+c\n").unwrap(), "a\nc");
    assert_eq!(applied("a  \nb\n", "@@\n a\n-b\n+c\n").unwrap(), "a\nc\n");
    assert_eq!(applied("a\n\nb\n", "@@\n a\n\n-b\n+c\n").unwrap(), "a\n\nc\n");
    assert_eq!(applied("a\n", "@@\n-a\n").unwrap(), "");
}

proptest! {
    #[test]
    fn a_patch_written_for_an_edit_makes_that_edit(
        before in prop::collection::vec("[a-c]{0,2}", 0..12),
        start in 0usize..12, length in 0usize..6, put in prop::collection::vec("[a-d]{0,2}", 0..5),
    ) {
        let start = start.min(before.len());
        let end = (start + length).min(before.len());
        let mut after = before.clone();
        after.splice(start..end, put.clone());
        prop_assume!(before != after && !before.is_empty());
        // The whole file as context leaves only one place for the hunk.
        let line = |mark: &'static str| move |text: &String| format!("{mark}{text}\n");
        let body: String = before[..start].iter().map(line(" "))
            .chain(before[start..end].iter().map(line("-")))
            .chain(put.iter().map(line("+")))
            .chain(before[end..].iter().map(line(" ")))
            .collect();
        let text: String = before.iter().map(|line| format!("{line}\n")).collect();
        let expected: String = after.iter().map(|line| format!("{line}\n")).collect();
        prop_assert_eq!(applied(&text, &format!("@@\n{body}")).unwrap(), expected);
    }

    #[test]
    fn nothing_panics(lines in prop::collection::vec(prop_oneof![
        Just("*** Begin Patch".to_owned()), Just("*** End Patch".to_owned()), Just("*** Add File: a".to_owned()),
        Just("*** Update File: b".to_owned()), Just("*** Move to: é".to_owned()), Just("*** End of File".to_owned()),
        Just("@@".to_owned()), "[ +@é-][a-c]?", ".{0,4}"], 0..12), file in "([a-c]?\r?\n){0,5}") {
        let text = format!("*** Begin Patch\n{}\n*** End Patch", lines.join("\n"));
        for text in [lines.join("\n"), text] {
            for change in parse(&text).unwrap_or_default() {
                if let Change::Update { hunks, .. } = change {
                    let _ = apply(&file, &hunks);
                }
            }
        }
    }
}

fn refuse(text: &str, expected: Expect) {
    expected.assert_eq(&parse(text).unwrap_err());
}

fn check(file: &str, hunks: &str, expected: Expect) {
    expected.assert_eq(&applied(file, hunks).unwrap_or_else(|error| error).replace('\n', "|"));
}

fn applied(file: &str, hunks: &str) -> Result<String, String> {
    let changes = parse(&format!("*** Begin Patch\n*** Update File: f\n{hunks}*** End Patch")).unwrap();
    let [Change::Update { hunks, .. }] = changes.as_slice() else { unreachable!("one update was written") };
    apply(file, hunks)
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

//! Thirty tasks on ten agents, merged one by one, without a trace anywhere else in the user's repository.

use crate::support::{Bench, repo::python_tests};

/// What the script makes of it, without any kill.
pub const CALLS: u64 = 175;

#[test]
fn thirty_exercises_are_solved() {
    let bench = Bench::exercise("thirty");
    let before = bench.repo.bytes();
    let ended = bench.run(&[]).expect(0);
    is_solved(&bench);
    assert_eq!(bench.repo.bytes(), before, "the user's checkout is not what it was");

    let view = ended.json();
    assert_eq!(view["money"]["calls"], CALLS);
    assert_eq!(view["money"]["unknown_calls"], 0);
    assert!(view["money"]["spent_micros"].as_u64().unwrap() > 0);
    assert_eq!((&view["tally"]["done"], &view["tally"]["total"]), (&30.into(), &30.into()));
    assert_eq!(view["agents"].as_array().unwrap().len(), 10);
    let journal = bench.journal();
    assert_eq!(journal.count("change_returned"), 5, "every sixth exercise comes back from the merge queue");
    assert_eq!(journal.count("attempt_failed"), 0);
    assert_eq!(journal.count("agent_lost"), 0);
}

/// What has to be true at the end, however often it was interrupted.
pub fn is_solved(bench: &Bench) {
    let journal = bench.journal();
    journal.check();
    assert_eq!(journal.merges().len(), 30);
    let branch = bench.repo.branch();
    let merges = bench.repo.git(&[
        "log",
        "--first-parent",
        "--format=%(trailers:key=Muster-Task,valueonly,separator=)",
        &format!("main..{branch}"),
    ]);
    let mut tasks: Vec<&str> = merges.lines().collect();
    tasks.sort_unstable();
    let wanted: Vec<String> = (1..=30).map(|number| format!("ex{number:02}")).collect();
    assert_eq!(tasks, wanted, "one merge commit for each task");
    bench.repo.is_sound();
    let result = bench.path("result");
    bench.repo.check_out(&branch, &result);
    for exercise in &wanted {
        assert!(python_tests(&result, &["discover", "-s", exercise]) > 0);
    }
    bench.wait_until_all_processes_are_gone();
}

//! What the dependencies of a plan have to keep: each leads to a task of the plan, and none leads in a circle.

use super::spec::TaskSpec;
use crate::source::{
    Place,
    checker::{Checker, Wrong, quote},
    shape::At,
    suggest::instead_of,
};
use std::collections::BTreeMap;

/// How many tasks of a circle are named before the rest is counted.
const NAMED_MAX: usize = 12;

/// One dependency: the position of the task that is waited for, and where that is said.
type Edge = (usize, Place);

pub(super) fn check(checker: &mut Checker, specs: &[At<TaskSpec>]) {
    let mut position: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, spec) in specs.iter().enumerate() {
        position.entry(&spec.value.id.value.0).or_insert(index);
    }
    let mut edges: Vec<Vec<Edge>> = Vec::with_capacity(specs.len());
    for spec in specs {
        let named = spec.value.depends_on.0.iter();
        let known = |needed: &At<_>| known(checker, &position, needed);
        edges.push(named.filter_map(known).collect());
    }
    if let Some((circle, place)) = circle(&edges) {
        let names = circle.iter().map(|&task| specs[task].value.id.value.0.as_str());
        let fix = "remove one of these dependencies, or split a task so that a part of it can be done first";
        let what = match circle.len() {
            2 => format!("a task waits for itself: {}", path(names)),
            _ => format!("these tasks wait for each other: {}", path(names)),
        };
        checker.wrong(place, what, fix);
    }
}

fn known(
    checker: &mut Checker,
    position: &BTreeMap<&str, usize>,
    needed: &At<crate::source::shape::NameText>,
) -> Option<Edge> {
    let id = needed.value.0.as_str();
    let found = position.get(id).map(|&task| (task, needed.place));
    if found.is_none() {
        let words = || Wrong::new(format!("there is no task {}", quote(id)), instead_of(id, position.keys().copied()));
        checker.wrong_with(needed.place, words);
    }
    found
}

/// The first circle, as the positions along it (first again at the end), and where the dependency stands that closes it.
///
/// A walk in depth without recursion: a plan may be one chain of ten thousand tasks.
fn circle(edges: &[Vec<Edge>]) -> Option<(Vec<usize>, Place)> {
    let mut state = vec![Visit::New; edges.len()];
    for start in 0..edges.len() {
        let mut trail: Vec<(usize, usize)> = Vec::new();
        if matches!(state[start], Visit::New) {
            state[start] = Visit::OnTrail;
            trail.push((start, 0));
        }
        while let Some((task, next)) = trail.last_mut() {
            let Some(&(needed, place)) = edges[*task].get(*next) else {
                state[*task] = Visit::Done;
                trail.pop();
                continue;
            };
            *next += 1;
            match state[needed] {
                Visit::Done => {}
                Visit::New => {
                    state[needed] = Visit::OnTrail;
                    trail.push((needed, 0));
                }
                Visit::OnTrail => {
                    let tasks = trail.iter().map(|&(task, _)| task).skip_while(|&task| task != needed);
                    return Some((tasks.chain([needed]).collect(), place));
                }
            }
        }
    }
    None
}

/// How far the walk has come with a task.
#[derive(Clone, Copy)]
enum Visit {
    New,
    OnTrail,
    Done,
}

fn path<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let shown: Vec<String> = names.take(NAMED_MAX).map(quote).collect();
    let rest = if more > 0 { format!(" -> … ({more} more)") } else { String::new() };
    format!("{}{rest}", shown.join(" -> "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[&[usize]]) -> Vec<Vec<Edge>> {
        edges
            .iter()
            .map(|needed| needed.iter().map(|&task| (task, Place { line: 1, column: task as u64 })).collect())
            .collect()
    }

    #[test]
    fn a_circle_is_found_wherever_it_lies() {
        assert_eq!(
            circle(&graph(&[&[], &[2], &[3], &[1], &[1]])),
            Some((vec![1, 2, 3, 1], Place { line: 1, column: 1 }))
        );
        assert_eq!(circle(&graph(&[&[0]])), Some((vec![0, 0], Place { line: 1, column: 0 })));
    }

    #[test]
    fn diamonds_and_long_chains_are_no_circles() {
        assert_eq!(circle(&graph(&[&[], &[0], &[0], &[1, 2]])), None);
        let chain: Vec<Vec<Edge>> =
            (0..10_000).map(|n: usize| n.checked_sub(1).map(|n| (n, Place::default())).into_iter().collect()).collect();
        assert_eq!(circle(&chain), None);
    }
}
